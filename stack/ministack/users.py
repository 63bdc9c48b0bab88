"""Save the user pools whenever they change. MiniStack alone would save them only when it stops.

A link belongs to the ``sub`` of a user, and a pool that is made anew would draw another one.
"""

from typing import Any

from stack.ministack import names
from stack.ministack.gate import Application

TARGET = b"AWSCognitoIdentityProviderService."
# What changes nothing that outlives the engine: questions, and sign-ins, whose tokens are the client's.
UNSAVED = ("Describe", "List", "Get", "AdminGet", "AdminList", "InitiateAuth", "AdminInitiateAuth")


class Saved:
    """An ASGI application that saves the pools before it answers what has changed them."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not _is_a_change(scope):
            return await self.application(scope, receive, send)

        async def save_and_send(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                names.save_service("cognito")
            await send(message)

        return await self.application(scope, receive, save_and_send)


def _is_a_change(scope: Any) -> bool:
    target: bytes = next((value for name, value in scope["headers"] if name == b"x-amz-target"), b"")
    return target.startswith(TARGET) and not target.removeprefix(TARGET).decode("latin-1").startswith(UNSAVED)
