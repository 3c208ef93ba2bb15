"""The peer of extraction: `encode` of sentence-transformers, which takes texts."""

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from w2s.models.source import quiet


def load_peer(folder, *, pooling="mean", max_length=512):
    """A model folder with the given pooling, not normalised."""
    with quiet():
        transformer = Transformer(folder, max_seq_length=max_length)
    width = transformer.get_embedding_dimension()
    return SentenceTransformer(
        modules=[transformer, Pooling(width, pooling_mode=pooling)], device="cpu"
    )


def encode(peer, texts):
    """Embeddings (n, d), in batches of 32 texts, the default."""
    return peer.encode(texts, batch_size=32, show_progress_bar=False)
