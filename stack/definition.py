"""What the stack consists of. Add a table, a function or a route here, and run scripts/up.sh.

What is taken out here is removed by the next build, except for tables, which may hold data.
"""

from stack.model import Authorizer, Definition, Function, Index, Route, Table

DEFINITION = Definition(
    tables=(
        Table("shortlinks", key="code", indexes=(Index("by-owner", key="owner_id", sort="code"),), ttl="expires_at"),
    ),
    functions=(
        Function(
            "shorten",
            routes=(Route("POST /shorten", authorized=True),),
            writes=("shortlinks",),
        ),
        Function(
            "redirect",
            routes=(Route("GET /r/{code}"), Route("HEAD /r/{code}")),
            reads=("shortlinks",),
            writes=("shortlinks",),
        ),
        Function(
            "links",
            routes=(
                Route("GET /links", authorized=True),
                Route("GET /links/{code}", authorized=True),
                Route("DELETE /links/{code}", authorized=True),
            ),
            reads=("shortlinks",),
            writes=("shortlinks",),
        ),
        Function("page", routes=(Route("GET /"),), settings=("IDENTITY_PROVIDER",)),
        Function("authorizer", settings=("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE", "IDENTITY_PROVIDER", "JWKS_TTL")),
    ),
    api="shortener",
    api_id="5407c0de",  # fixed, so that saved URLs outlive restarts: eight hexadecimal digits
    authorizer=Authorizer("jwt-auth", function="authorizer"),
    stage="dev",
)
