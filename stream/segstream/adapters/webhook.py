"""Messages to a webhook: one signed POST per attempt, the same key and body every time.

::

    Idempotency-Key: <id>                            the receiver drops what it has already
    Segstream-Signature: t=<unix seconds>,v1=<hex>   HMAC-SHA256 of "<t>.<body>" with the secret

Any 2xx is an acceptance. 408, 425, 429, 5xx, no answer and no connection are tried again; another
4xx and a redirect would be the same next time.
"""

import hashlib
import hmac
import os
import time
from typing import Final

import aiohttp

from segstream.campaign_ports import Answer, Message
from segstream.core.campaigns import WebhookSettings
from segstream.errors import ConfigError

SIGNATURE: Final = "Segstream-Signature"
KEY: Final = "Idempotency-Key"
_AGAIN: Final = frozenset({408, 425, 429})


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Header that proves who sent a body, and when.

    >>> signature(b"secret", 0, b"{}")[:20]
    't=0,v1=4bbe8d39de1ff'
    """
    proof = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={proof}"


def secret_of(settings: WebhookSettings) -> bytes:
    """Read the secret from the environment; a campaign file is no place for it.

    Raises
    ------
    ConfigError
    """
    found = os.environ.get(settings.secret_env, "")
    if not found:
        raise ConfigError(
            f"webhook.secret_env: expected the key of the signature in ${settings.secret_env}, got"
            " none; set it to what the receiver checks with"
        )
    return found.encode()


class Webhook:
    """`Sender` to a URL; connects at the first attempt."""

    def __init__(self, settings: WebhookSettings, secret: bytes) -> None:
        self._settings, self._secret = settings, secret
        self._session: aiohttp.ClientSession | None = None

    async def attempt(self, message: Message) -> Answer:
        """See `segstream.campaign_ports.Sender.attempt`."""
        headers = {
            "Content-Type": "application/json",
            KEY: message.key,
            SIGNATURE: signature(self._secret, int(time.time()), message.body),
        }
        try:
            async with self._opened().post(
                self._settings.url, data=message.body, headers=headers, allow_redirects=False
            ) as response:
                return _judged(response.status)
        except TimeoutError:
            return Answer(f"no answer within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(f"{type(error).__name__}: {error}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Nothing of one customer's answer may reach another's request.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """See `segstream.campaign_ports.Sender.close`."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _judged(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer()
    return Answer(f"HTTP {status}", final=status < 500 and status not in _AGAIN)
