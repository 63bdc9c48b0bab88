"""Home folders with an ~/.aws that would lead a client elsewhere, or nowhere."""

from pathlib import Path

from listener import Listener

# Files of ~/.aws, each a reason to go elsewhere or nowhere.
HOMES = {
    "endpoint": {"config": "[default]\nendpoint_url = {url}\n"},
    "ignored endpoints": {"config": "[default]\nignore_configured_endpoint_urls = true\n"},
    "services": {
        "config": "[default]\nservices = mine\n[services mine]\n"
        + "".join(f"{name} =\n  endpoint_url = {{url}}\n" for name in ("sts", "dynamodb", "lambda", "iam"))
    },
    "credentials": {"credentials": "[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n"},
    "process": {"config": "[default]\ncredential_process = touch {folder}/was-run\n"},
    "single sign-on": {"config": "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"},
    "role": {"config": "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = none\n"},
    "region, bundle, FIPS": {
        "config": "[default]\nregion = moon-east-1\nca_bundle = /missing\nuse_fips_endpoint = true\n"
        "defaults_mode = nonsense\nretry_mode = nonsense\nmax_attempts = nonsense\n"
    },
    "syntax error": {"config": "[default\n", "credentials": "aws_access_key_id\n"},
    "models": {"models/dynamodb/2012-08-10/service-2.json": "{{}}", "models/endpoints.json": "{{}}"},
}


def at_home(home: Path, files: dict[str, str], elsewhere: Listener) -> dict[str, str]:
    """Write the files of ~/.aws under ``home``; return the variable that makes it the home folder."""
    for name, text in files.items():
        path = home / ".aws" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(url=elsewhere.url, folder=home))
    return {"HOME": str(home)}
