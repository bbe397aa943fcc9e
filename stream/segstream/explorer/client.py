"""What the pages know of the API: one client, and what can go wrong on the way."""

from typing import Any, Final
from urllib.parse import quote

import httpx

Answer = dict[str, Any]
TIMEOUT_S: Final = 30.0
"""The first answer after a start may read a whole state."""


class ApiError(Exception):
    """The API did not give what was asked for.

    Attributes
    ----------
    status
        HTTP status; None where nothing answered.
    detail
        What the API says, or why there is no answer.
    """

    def __init__(self, status: int | None, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Api:
    """The HTTP API at an address.

    Parameters
    ----------
    key
        Empty where the API asks for none.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)

    def get(self, *path: object, **query: str | int) -> Answer:
        """Return what is at a path; its parts may hold any character.

        Raises
        ------
        ApiError
        """
        return self._ask("GET", path, params=query)

    def post(self, *path: object, body: Answer | None = None) -> Answer:
        """Ask for something to be done or worked out.

        Raises
        ------
        ApiError
        """
        return self._ask("POST", path, json=body)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _ask(self, method: str, path: tuple[object, ...], **given: Any) -> Answer:
        place = "/" + "/".join(quote(str(part), safe="") for part in path)
        try:
            answer = self._client.request(method, place, **given)
        except httpx.HTTPError as error:
            raise ApiError(None, f"{type(error).__name__}: {error}") from error
        if answer.is_success:
            told: Answer = answer.json()
            return told
        raise ApiError(answer.status_code, _detail(answer))


def _detail(answer: httpx.Response) -> str:
    """Take the problem's detail (RFC 9457), or the status where it is none."""
    try:
        told = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code}"
    if isinstance(told, dict):
        return str(told.get("detail") or told.get("title") or f"HTTP {answer.status_code}")
    return f"HTTP {answer.status_code}"
