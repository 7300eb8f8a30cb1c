"""The page on which people whose tokens the server knows sign in."""

import htpy as html

from flukeprint.serving.page.context import Content, PageContext
from flukeprint.serving.page.views.photographs import heading


def sign_in_page(context: PageContext, after: str, who: str | None) -> Content:
    """A field for a token.

    after: the address to go to then.  who: name of the person who is signed in already.
    """
    parts: Content = [
        heading(context.text("sign_in_title")), html.p(class_="lead")[context.text("sign_in_lead")]
    ]  # fmt: skip
    if who is not None:
        parts.append(html.p[context.text("signed_in", name=who)])
        parts.append(
            html.button(id="sign-out", class_="button plain", type="button")[
                context.text("sign_out")
            ]
        )
    return [
        *parts,
        html.form(id="sign-in", class_="picker")[
            html.label(for_="token")[context.text("sign_in_token")],
            html.input(
                id="token", type="password", name="token", required=True, class_="field",
                autocomplete="current-password",
            ),
            html.input(type="hidden", id="after", value=after),
            html.button(class_="button")[context.text("sign_in")],
        ],
        html.p(id="sign-in-said", role="alert"),
        html.noscript[html.p[context.text("sign_in_scripts")]],
    ]  # fmt: skip
