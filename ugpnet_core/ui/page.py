"""The page: what is on it, and what happens when its button is pressed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ugpnet_core.errors import UGPNetError
from ugpnet_core.ui.restoring import restore_upload

TITLE = "ugpnet"
# Everything fits a telephone: nothing is wider than the screen, and buttons are for thumbs.
STYLE = """
.gradio-container { max-width: 64rem !important; margin: 0 auto; }
#words { min-height: 1.5em; }
#go { min-height: 3rem; }
"""


def make_page(
    gradio: Any, models: Sequence[str], chosen: str, folder: Path, megapixels: float
) -> Any:
    """The page as Gradio's Blocks.

    Args:
        gradio: the library.
        models: names to choose from.
        chosen: the one that is chosen at first.
        folder: for results.
        megapixels: of the largest picture that is taken.
    """
    with gradio.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=False
    ) as page:
        gradio.Markdown(
            "# Restore a photograph\nIt stays on this machine. Texture in faces is believable, "
            "not true."
        )
        photo = gradio.File(
            label="Photograph", elem_id="photo", height=140, file_types=["image", ".tif", ".tiff"]
        )
        with gradio.Row():
            model = gradio.Dropdown(list(models), value=chosen, label="Model", elem_id="model")
            fidelity = gradio.Slider(
                0,
                1,
                value=0,
                step=0.05,
                label="Fidelity",
                info="0: all that the prior adds; 1: nothing of it",
                elem_id="fidelity",
            )
            faces = gradio.Checkbox(
                True, label="Faces", info="They get believable detail", elem_id="faces"
            )
        go = gradio.Button("Restore", variant="primary", elem_id="go")
        words = gradio.Markdown("", elem_id="words")
        slider = gradio.ImageSlider(
            label="Before and after",
            type="filepath",
            format="png",
            interactive=False,
            elem_id="slider",
            buttons=["fullscreen"],
        )
        download = gradio.DownloadButton("Download", interactive=False, elem_id="download")
        with (
            gradio.Accordion("Parts: x_reg (regression) and x_syn (prior)", open=False),
            gradio.Row(),
        ):
            parts = [
                gradio.Image(
                    label=name, type="filepath", format="png", interactive=False, elem_id=name
                )
                for name in ("x_reg", "x_syn")
            ]

        def restore(
            path: str | None, name: str, share: float, look: bool, progress: Any
        ) -> tuple[Any, ...]:
            if path is None:
                raise gradio.Error("Choose a photograph first.", print_exception=False)
            progress(0, desc="Restoring")
            try:
                made = restore_upload(
                    Path(path),
                    folder,
                    model=name,
                    fidelity=share,
                    faces=look,
                    megapixels=megapixels,
                )
            except UGPNetError as error:
                said = str(error).replace(str(Path(path)), Path(path).name)
                raise gradio.Error(said, print_exception=False) from error
            return (
                " ".join(made.words),
                (str(made.before), str(made.after)),
                gradio.DownloadButton(
                    f"Download {made.result.name}", value=str(made.result), interactive=True
                ),
                str(made.regression),
                str(made.synthesis),
            )

        # Gradio gives its progress to whatever has it for a default.
        restore.__defaults__ = (gradio.Progress(),)
        go.click(
            restore,
            [photo, model, fidelity, faces],
            [words, slider, download, *parts],
            concurrency_limit=1,
            api_visibility="private",
        )
    return page
