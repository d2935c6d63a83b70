"""The pages of XEP-0156 as files for another web server, with its configuration: ``wsgw host-meta``.

XMPP clients ask for them on port 443 of the domain, where usually a web server answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wsgw.config.model import Config
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.opening.host_meta import FOLDER, MAX_AGE, PAGES, links_of

_CACHE: Final = f"public, max-age={MAX_AGE}"
_NGINX: Final = """\
location = {path} {{
    alias {file};
    types {{ }}
    default_type {media};
    add_header Access-Control-Allow-Origin "*" always;
    add_header Cache-Control "{cache}";
}}
"""
_CADDY: Final = """\
handle {path} {{
    root * {folder}
    rewrite * /{name}
    header Content-Type {media}
    header Access-Control-Allow-Origin *
    header Cache-Control "{cache}"
    file_server
}}
"""
#: Apache has two tables of headers, and sends a header that is in both twice. ``ProxyPass`` of the whole site
#: would precede the ``Alias``.
_APACHE: Final = """\
Alias {path} {file}
<Location {path}>
    Require all granted
    ForceType {media}
    Header always unset Access-Control-Allow-Origin
    Header set Access-Control-Allow-Origin "*"
    Header set Cache-Control "{cache}"
    <IfModule mod_proxy.c>
        ProxyPass "!"
    </IfModule>
</Location>
"""
#: nginx and Apache replace variables in a quoted name, Caddy placeholders, and all three read escapes.
_SPECIAL: Final = re.compile(r"[$\\{}\x00-\x1f\x7f]")
#: File → (its place in the web server's configuration, the text for one page).
_SNIPPETS: Final = {
    "host-meta.nginx": ("in the server block of {host} on port 443", _NGINX),
    "host-meta.caddy": ("in the site block of {host}", _CADDY),
    "host-meta.apache": (
        "in the VirtualHost of {host} on port 443; needs mod_alias and mod_headers",
        _APACHE,
    ),
}


def write_host_meta(config: Config, domain: str, folder: Path) -> str:
    """Write the pages of ``domain`` and the snippets into ``folder``; return a text about them.

    Raises ConfigError if ``config`` has no page for the domain, the snippets cannot express the folder's
    name, or a file cannot be written.
    """
    found = config.host_meta_of(domain)
    if found is None:
        known = ", ".join(one.host for one in config.host_meta) or "none"
        raise _problem(f"no host-meta for {domain}; hosts that have it: {known}")
    links = links_of(found.websocket, found.bosh)
    if not links:
        raise _problem(f"host-meta for {found.host} has no address: set websocket_url of mod_host_meta")
    folder = folder.absolute()
    if _SPECIAL.search(str(folder)):
        reason = "web servers interpret $, {, }, \\ and control characters in the name of a folder"
        raise _problem(f"{str(folder)!r}: {reason}; choose another folder")
    contents = {name: write(links) for name, (_, write) in PAGES.items()}
    for name, (place, snippet) in _SNIPPETS.items():
        contents[name] = f"# {place.format(host=found.host)}\n" + "".join(_filled(snippet, folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, "utf-8")
    except OSError as error:
        raise _problem(f"{error.filename or folder}: {error.strerror}") from error
    written = "\n".join(f"  {folder / name}" for name in contents)
    return f"{found.host}: {' '.join(link.href for link in links)}\n{written}"


def _filled(snippet: str, folder: Path) -> Iterable[str]:
    """The part of a snippet for each page."""
    for name, (media, _) in PAGES.items():
        yield snippet.format(
            path=f"/{FOLDER}/{name}",
            file=_quoted(folder / name),
            folder=_quoted(folder),
            name=name,
            media=media,
            cache=_CACHE,
        )


def _quoted(path: Path) -> str:
    """A path as a string of nginx, Caddy and Apache."""
    return json.dumps(str(path), ensure_ascii=False)


def _problem(reason: str) -> ConfigError:
    return ConfigError([ConfigProblem("host-meta", 0, reason)])
