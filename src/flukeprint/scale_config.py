"""Configuration of speed and size: how photographs are embedded and how a gallery is searched."""

from typing import Literal

from pydantic import Field, model_validator

from flukeprint.sections import Section

Engine = Literal["auto", "torch", "torch-compile", "openvino", "onnxruntime"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Backend = Literal["auto", "exact", "faiss_flat", "hnsw", "ivf_pq", "qdrant"]


class GalleryConfig(Section):
    """How a gallery is searched; see `docs/scale.md` for what to take at which size."""

    backend: Backend = "auto"  # auto: by size and memory, exact as long as that is fast enough
    recall_at_5: float = Field(0.99, gt=0, le=1)  # that an approximate index is tuned to
    memory_gb: float | None = Field(None, gt=0)  # auto: at most so much for vectors and index
    url: str | None = None  # qdrant: server or cluster; null: embedded, in the gallery's folder
    collection: str = "flukeprint"  # qdrant: alias under which the gallery is found
    quantize: bool = False  # qdrant: int8 vectors in memory, re-scored exactly

    @model_validator(mode="after")
    def _url_is_used(self) -> "GalleryConfig":
        if self.url is not None and self.backend != "qdrant":
            raise ValueError("gallery.url is for gallery.backend=qdrant")
        return self
