"""The pages that take photographs: identify, verify and review.

The page's scripts show the photographs and send them to the API.  Elements with `data-act` are
the ones whose clicks those scripts handle.
"""

from dataclasses import dataclass

import htpy as html
from htpy import Element, VoidElement

from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.views.field import (
    box_button,
    field_notes,
    first_options,
    held_notes,
    waiting_view,
)

ACCEPT = "image/*,.heic,.heif,.avif,.tif,.tiff,.webp"
IDENTIFY = "/identify"  # where a form without scripts is sent


@dataclass(frozen=True)
class Offers:
    """What the page for identifying offers besides.

    taken: to send date and place with a photograph, which need a catalogue.
    cards: the cards of all classes, held for use without a network.
    """

    taken: bool = False
    cards: bool = True


def identify_page(
    context: PageContext,
    answer: Content | None = None,
    offers: Offers = Offers(),
    *,
    held: bool = False,
) -> Content:
    """The page for identifying: choose, drop, paste or take photographs of one encounter.

    answer: shown at once, where a browser without scripts sent the photographs.
    held: it is the page that is kept on the device, for use without a network.
    """
    counts = {"photos": context.number(context.info.photos), "classes": context.counted_classes()}
    drop = html.section(class_="drop", id="identify-drop")[
        html.div(class_="buttons scripted")[
            chooser(context, "choose", "identify-choose", "file-identify"),
            html.button(
                data(act="choose", input="file-camera"),
                id="identify-camera",
                class_="button plain camera",
                type="button",
            )[context.text("camera")],
        ],
        file_input("file-identify", multiple=True),
        file_input("file-camera", capture=True),
        _form_without_scripts(context),
        html.p(class_="hint with-pointer scripted")[context.text("or_drop")],
        html.p(class_="hint")[context.text("one_encounter", **context.limits())],
        first_options(context, taken=offers.taken),
    ]
    return [
        heading(context.kind_text("identify_title")),
        html.p(class_="lead")[context.kind_text("identify_lead", **counts)],
        held_notes(context) if held else [],
        html.section(
            aria(labelledby="choosing-title"), id="choosing", class_="choosing", hidden=True
        ),
        html.div(class_="columns")[
            html.div(class_="side")[
                drop, waiting_view(context), _photographs(context, "identify"), box_button(context)
            ],
            html.div(class_="body")[
                html.section(id="identify-result", class_="result")[answer],
                [] if held else _examples(context),
                field_notes(context, cards=offers.cards),
            ],
        ],
        _status("identify"),
    ]


def _form_without_scripts(context: PageContext) -> Element:
    return html.noscript[
        html.form(method="post", action=IDENTIFY, enctype="multipart/form-data", class_="plain")[
            html.label(for_="plain-photos")[context.text("choose")],
            html.input(
                type="file", id="plain-photos", name="photos", accept=ACCEPT, multiple=True,
                required=True,
            ),
            html.button(class_="button")[context.text("send")],
        ]
    ]  # fmt: skip


def verify_page(context: PageContext) -> Content:
    """The page for comparing two photographs."""
    title = heading(context.kind_text("verify_title"))
    if context.info.verify is None:
        return [title, html.p(class_="lead")[context.text("verify_none")]]
    halves = [
        html.section(class_="drop half")[
            html.h2(class_="quiet")[context.text(f"verify_{side}")],
            html.div(id=f"verify-{side}-photo", class_="previews"),
            chooser(context, "choose_one", f"verify-choose-{side}", f"file-verify-{side}"),
            file_input(f"file-verify-{side}"),
        ]
        for side in ("first", "second")
    ]
    return [
        title,
        html.p(class_="lead")[context.kind_text("verify_lead")],
        html.div(class_="halves")[halves],
        html.p(class_="hint with-pointer")[context.text("or_drop")],
        html.div(id="verify-progress-view", class_="progress"),
        html.section(id="verify-result", class_="result", tabindex="-1"),
        _status("verify"),
    ]


def review_page(context: PageContext) -> Content:
    """The page of the review queue: photographs decided one by one, by mouse or keyboard."""
    decide = [
        _button(context, "review_back", "review-back", act="go", step="-1"),
        _button(context, "review_new", "review-new", act="decide", decision="n"),
        _button(context, "review_unsure", "review-unsure", act="decide", decision="u"),
        _button(context, "review_next", "review-next", act="go", step="1"),
    ]
    keys = html.div(class_="keys with-pointer")[
        html.button(
            {**aria(pressed="true", describedby="review-keys-hint"), **data(act="keys")},
            id="review-keys",
            class_="button plain small toggle",
        )[context.text("review_keys")],
        html.p(id="review-keys-hint", class_="hint")[context.text("review_keys_hint")],
    ]
    panel = [
        html.div(id="review-photo", class_="previews"),
        html.div(class_="decide")[
            html.div(id="review-headline", tabindex="-1"), html.div(class_="buttons")[decide], keys
        ],
    ]
    ends = [
        _button(context, "review_download", "review-download", act="download"),
        _button(context, "review_resend", "review-resend", act="resend"),
    ]
    return [
        heading(context.text("review_title")),
        html.p(class_="lead")[context.text("review_lead")],
        html.div(class_="drop")[
            chooser(context, "choose", "review-choose", "file-review"),
            file_input("file-review", multiple=True),
            html.p(class_="hint with-pointer")[context.text("or_drop")],
        ],
        html.div(id="review-panel", hidden=True)[
            html.div(class_="columns review")[panel],
            html.section(id="review-candidates", class_="result"),
            html.h2(class_="quiet")[context.text("review_queue")],
            html.p(id="review-count", role="status"),
            html.ol(id="review-queue", class_="queue"),
            html.div(class_="buttons")[ends],
        ],
    ]


def file_input(name: str, *, multiple: bool = False, capture: bool = False) -> VoidElement:
    """A hidden field for photographs, which a button of `chooser` opens."""
    return html.input(
        type="file", id=name, accept=ACCEPT, hidden=True, multiple=multiple,
        capture="environment" if capture else None,
    )  # fmt: skip


def chooser(context: PageContext, key: str, name: str, input_: str) -> Element:
    """A button that opens the hidden file input `input_`."""
    return html.button(data(act="choose", input=input_), id=name, class_="button", type="button")[
        context.text(key)
    ]


def heading(text: str) -> Element:
    """The title of a page, to which scripts move the focus when the page is opened."""
    return html.h1(id="page-title", tabindex="-1")[text]


def _button(context: PageContext, key: str, name: str, **acts: str) -> Element:
    label = context.text(key)
    return html.button(data(**acts), id=name, class_="button plain", type="button")[label]


def _photographs(context: PageContext, flow: str) -> list[Element]:
    """The places where the browser shows chosen photographs, and the progress of sending."""
    label = context.text("your_photos")
    return [
        html.div(id=f"{flow}-progress-view", class_="progress"),
        html.section(aria(label=label), id=f"{flow}-photos-view", class_="previews"),
    ]


def _status(flow: str) -> Element:
    """The text for screen readers: the phase of sending, then the answer in one line."""
    return html.div(role="status", class_="visually-hidden", id=f"{flow}-status")[
        html.span(id=f"{flow}-status-progress"), html.span(id=f"{flow}-status-answer")
    ]


def _examples(context: PageContext) -> Element:
    if context.info.examples == 0:
        return html.div()
    shown = [
        html.li[
            html.button(
                data(act="example", number=str(number)), id=f"example-{number}", type="button"
            )[
                html.img(
                    src=f"/v1/examples/{number}",
                    alt=context.text("example", number=str(number + 1)),
                    width="160",
                    height="120",
                )
            ]
        ]
        for number in range(context.info.examples)
    ]
    return html.section(class_="examples scripted", id="examples")[
        html.h2(class_="quiet")[context.text("examples")], html.ul[shown]
    ]
