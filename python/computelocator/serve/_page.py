# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Pages for people: one file each, nothing loaded from elsewhere. Needs Starlette."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any

from starlette.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#666, #aaa); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .2rem; }
p { margin: .2rem 0; } table { border-collapse: collapse; width: 100%; margin-top: .4rem; }
td { border-top: 1px solid var(--line); padding: .2rem .8rem .2rem 0; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; white-space: nowrap; }
.soft { color: var(--soft); }
"""


def hashed(text: str) -> str:
    """Give the source expression of an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def self_contained(page: str) -> HTMLResponse:
    """Serve a page whose styles and scripts are its own, and let it load nothing else.

    Only requests to this very server are open to its script.
    """
    styles = " ".join(map(hashed, re.findall(r"<style>(.*?)</style>", page, re.DOTALL)))
    scripts = " ".join(map(hashed, re.findall(r"<script>(.*?)</script>", page, re.DOTALL)))
    policy = (
        f"default-src 'none'; style-src {styles or chr(39) + 'none' + chr(39)}; "
        f"script-src {scripts or chr(39) + 'none' + chr(39)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def reference_page(schema: dict[str, Any]) -> HTMLResponse:
    """Show an OpenAPI description as a plain page."""

    def text(of: Any) -> str:
        return html.escape(str(of or ""))

    parts = []
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            rows = []
            for each in about.get("parameters", ()):
                kind = each.get("schema", {})
                kinds = [kind, *kind.get("anyOf", ())]
                facts = [str(k["type"]) for k in kinds if k.get("type") not in (None, "null")]
                for k in kinds:
                    facts += [f"{word} {k[word]}" for word in ("minimum", "maximum") if word in k]
                if kind.get("default") is not None:
                    facts.append(f"default {kind['default']}")
                rows.append(
                    f"<tr><td>{text(each['name'])}<td>{text(each.get('description'))}"
                    f"<td class=soft>{text(', '.join(facts))}"
                )
            said = text(about.get("description") or about.get("summary"))
            parts.append(
                f"<h2>{method.upper()} {text(path)}</h2><p>{said}</p><table>{''.join(rows)}</table>"
            )
    info = schema["info"]
    return self_contained(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{text(info['title'])}</title>"
        f"<style>{STYLE}</style><h1>{text(info['title'])}</h1><p>{text(info.get('description'))}</p>"
        f"<p class=soft>Machines read <a href=/openapi.json>openapi.json</a>.</p>{''.join(parts)}"
    )
