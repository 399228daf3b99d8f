"""The API as the command line calls it: signed in, in one company, reading what it has just written.

An access token lives ten minutes and an import may take longer, so a refused token is replaced by signing
in again. A busy server (429, 503) is waited for. Whatever else goes wrong ends the command with a sentence.
May be used from several threads.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from runtime.cli import instance
from runtime.cli.outcome import Exit, Stop, unreachable, usage

_PAGE_ROWS = 200
_PATIENCE_SECONDS = 120.0
_LONGEST_PAUSE_SECONDS = 30.0
# Too many, not able now, and "the outcome is unknown".
_RETRIED = frozenset({429, 503, 504})
_EXITS = {401: Exit.DENIED, 403: Exit.DENIED, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 412: Exit.CONFLICT}

Parameters = Mapping[str, str]


class ApiClient:
    """Made by `connect`; closed by leaving it."""

    def __init__(
        self,
        at: instance.Instance,
        *,
        language: str = "en",
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._at = at
        self._http = httpx2.Client(
            base_url=at.url,
            timeout=httpx2.Timeout(120.0, connect=5.0),
            headers={"Accept": "application/json", "Accept-Language": language, "User-Agent": "ccontrol-cli"},
            transport=transport,
        )
        self._signing_in = threading.Lock()
        self._token = at.token
        self._seen = ""
        self._has_answered = False
        self.company_id = at.login.company_id if at.login else ""

    def __enter__(self) -> "ApiClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def work_in(self, company: str | None) -> None:
        """Choose a company by id or name; without one, the one the login starts in."""
        if company is None and self.company_id:
            return
        me = self.get("/v1/me")
        companies = me["companies"]
        wanted = company or (me.get("company") or companies[0])["id"]
        found = [each for each in companies if wanted in (each["id"], each["name"])]
        if not found:
            names = ", ".join(sorted(each["name"] for each in companies))
            raise Stop(
                Exit.NOT_FOUND, "company-unknown", f"you are in no company {wanted!r}", f"there are: {names}"
            )
        if len(found) > 1:
            raise usage(f"several companies are called {wanted!r}", "name it by its id, cmp_…")
        self.company_id = found[0]["id"]

    def get(self, path: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """One answer. Waits until it contains everything this client has written."""
        return self._answer(self._call("GET", path, parameters=parameters))

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Send a JSON body; its commands carry idempotency keys, so it is repeated until it is answered."""
        return self._answer(self._call("POST", path, body=body))

    def rows(self, path: str, parameters: Parameters | None = None) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        asked = {**(parameters or {}), "limit": str(_PAGE_ROWS)}
        while True:
            page = self.get(path, asked)
            yield from page["data"]
            cursor = page["page"]["next_cursor"]
            if cursor is None:
                return
            asked["cursor"] = cursor

    def _call(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        body: bytes | None = None,
    ) -> httpx2.Response:
        patience = _Patience()
        while True:
            token = self._token or self._sign_in(None)
            headers = self._headers(token, has_body=body is not None)
            try:
                response = self._http.request(method, path, params=parameters, content=body, headers=headers)
            except httpx2.TransportError as failure:
                # A command that may or may not have arrived is sent again under the same key. Before the
                # first answer nobody may be there at all; later the API may just be starting again.
                if not self._has_answered or not patience.wait(None):
                    raise self._silent(failure) from None
                continue
            self._has_answered = True
            if response.status_code == 401 and self._at.login and patience.may_sign_in():
                self._sign_in(token)
            elif response.status_code not in _RETRIED or not patience.wait(response):
                self._remember(response)
                return response

    def _silent(self, failure: Exception) -> Stop:
        if isinstance(failure, httpx2.ConnectError):
            return unreachable(f"nothing answers at {self._at.url}", "is it running? start it with ./run")
        return unreachable(f"{self._at.url} does not answer: {type(failure).__name__}")

    def _headers(self, token: str, *, has_body: bool) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=10"}
        if self.company_id:
            headers["Ccontrol-Company"] = self.company_id
        if has_body:
            headers["Content-Type"] = "application/json"
        elif self._seen:
            headers["Consistency-Token"] = self._seen
        return headers

    def _remember(self, response: httpx2.Response) -> None:
        """Tokens sort as text: the greatest one names everything this client may expect to see."""
        token = response.headers.get("consistency-token", "")
        with self._signing_in:
            self._seen = max(self._seen, token)

    def _sign_in(self, expired: str | None) -> str:
        login = self._at.login
        if login is None:
            raise Stop(Exit.DENIED, "unauthenticated", "there is nothing to sign in with")
        with self._signing_in:
            if self._token is not None and self._token != expired:
                return self._token  # another thread was faster
            try:
                response = self._http.post(
                    "/v1/auth/login", json={"email": login.email, "password": login.password}
                )
            except httpx2.TransportError as failure:
                raise self._silent(failure) from None
            token: str = self._answer(response)["access_token"]
            self._token = token
            return token

    def _answer(self, response: httpx2.Response) -> dict[str, Any]:
        if response.is_success:
            answer: dict[str, Any] = response.json() if response.content else {}
            return answer
        status = response.status_code
        problem = _problem(response)
        code = str(problem.get("code") or f"http-{status}")
        said = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
        if status == 503:
            raise Stop(Exit.UNREACHABLE, code, f"the server is not able to answer now: {said}")
        if status >= 500:
            request_id = problem.get("request_id") or response.headers.get("request-id")
            raise Stop(Exit.INTERNAL, code, f"the server failed: {said} (report id {request_id})")
        for error in problem.get("errors", ()):
            said += f"; {error.get('pointer', '')} {error.get('message', '')}"
        raise Stop(_EXITS.get(status, Exit.USAGE), code, said)


class _Patience:
    """How long one question is asked again: as long as there is progress, else for two minutes."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + _PATIENCE_SECONDS
        self._pause = 0.2
        self._position = -1
        self._signed_in = False

    def may_sign_in(self) -> bool:
        """Once a question: a token that is refused right after signing in will be refused again."""
        may, self._signed_in = not self._signed_in, True
        return may

    def wait(self, response: httpx2.Response | None) -> bool:
        """Pause before the next attempt; False when it would be in vain."""
        pause = self._pause
        if response is not None:
            pause = max(pause, _seconds(response.headers.get("retry-after")))
            problem = _problem(response)
            if problem.get("state") == "stopped":
                return False
            position = int(problem.get("have") or 0)
            if position > self._position:
                # Reports that catch up after a large import are worth waiting for.
                self._position = position
                self._deadline = time.monotonic() + _PATIENCE_SECONDS
        if time.monotonic() + pause > self._deadline:
            return False
        time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return True


def connect(company: str | None = None, language: str = "en") -> ApiClient:
    """The API of the installation, in the company asked for."""
    client = ApiClient(instance.find(), language=language)
    client.work_in(company)
    return client


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdigit() else 0.0
