"""The page on which a team uploads many photographs and decides them one by one."""

import htpy as html
from htpy import Element

from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.views.photographs import ACCEPT, chooser, heading


def queue_page(
    context: PageContext, suggested: str, batch: str, person: str, keeps: bool
) -> Content:
    """Uploading and deciding; the page's script asks the API.

    suggested: the next free name of a new animal.  batch: the upload that is shown, "" for none.
    person: who looks.  keeps: whether he or she may undo what others decided.
    """
    known = data(batch=batch, person=person, keeps="yes" if keeps else "no")
    return [
        heading(context.text("queue_title")),
        html.p(class_="lead")[context.text("queue_lead")],
        html.div(class_="columns deciding")[
            html.div(class_="body")[_decide(context, suggested)],
            html.div(class_="side")[_upload(context), html.section(known, id="batch")],
        ],
    ]


def _upload(context: PageContext) -> Element:
    return html.section(class_="drop", id="upload")[
        html.h2(class_="quiet")[context.text("queue_upload")],
        html.div(class_="buttons")[
            chooser(context, "choose", "upload-choose", "file-upload"),
            html.button(
                data(act="choose", input="folder-upload"), id="upload-folder", type="button",
                class_="button plain with-pointer",
            )[context.text("queue_folder")],
        ],
        html.input(
            aria(label=context.text("queue_upload")), type="file", id="file-upload",
            accept=ACCEPT, hidden=True, multiple=True,
        ),
        html.input(
            {"webkitdirectory": True}, aria(label=context.text("queue_folder")), type="file",
            id="folder-upload", hidden=True, multiple=True,
        ),
        html.p[
            html.label(class_="check")[
                html.input(type="checkbox", id="upload-dates"), " ", context.text("queue_dates")
            ]
        ],
        html.p(class_="hint")[context.text("queue_upload_hint")],
        html.progress(
            aria(label=context.text("queue_upload")), id="upload-bar", max="1", value="0",
            hidden=True,
        ),
        html.p(id="upload-said", role="status"),
        html.ul(id="upload-refused", class_="rows"),
    ]  # fmt: skip


def _decide(context: PageContext, suggested: str) -> Content:
    return [
        html.div(class_="buttons")[
            html.button(data(act="next"), id="queue-next", class_="button", type="button")[
                context.text("queue_next")
            ]
        ],
        html.p(id="queue-said", role="status", tabindex="-1"),
        html.div(id="queue-panel", hidden=True)[
            html.figure(class_="query large")[
                html.img(id="queue-photo", alt="", class_="photo"),
                html.figcaption(id="queue-name"),
            ],
            html.div(id="queue-headline", tabindex="-1"),
            html.section(id="queue-candidates", class_="result"),
            html.div(class_="fields picker")[
                html.div[
                    html.label(for_="queue-other")[context.text("queue_other")],
                    html.input(
                        id="queue-other", type="search", class_="field", autocomplete="off"
                    ),
                    html.ul(id="queue-found", class_="found"),
                ],
                html.div[
                    html.label(for_="queue-name-new")[context.text("queue_new_name")],
                    html.input(
                        id="queue-name-new", class_="field", autocomplete="off",
                        placeholder=suggested,
                    ),
                ],
            ],
            html.div(class_="buttons")[
                _button(context, "queue_new", "new"), _button(context, "review_unsure", "unsure"),
                _button(context, "queue_nobody", "nobody"),
                html.button(
                    data(act="release"), class_="button plain", type="button", id="queue-release"
                )[context.text("queue_release")],
            ],
            html.p(class_="hint with-pointer")[context.text("queue_keys")],
        ],
        html.h2(class_="quiet")[context.text("queue_done")],
        html.ol(id="queue-done", class_="timeline"),
    ]  # fmt: skip


def _button(context: PageContext, key: str, verdict: str) -> Element:
    return html.button(
        data(act="verdict", verdict=verdict), class_="button plain", type="button",
        id=f"queue-{verdict}",
    )[context.text(key)]  # fmt: skip
