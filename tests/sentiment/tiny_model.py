"""A review model small enough to train in a second, over the real tokenizer."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from sentiment.encoder_files import locate_encoder
from sentiment.review_model import ReviewModel, ReviewModelConfig

EMOTIONS = ("anger", "joy", "neutral")


def tokenizer() -> Tokenizer:
    folder, _ = locate_encoder()
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def tiny_encoder(seed: int = 0) -> BertModel:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False).eval()


def tiny_model(seed: int = 0, *, own_words: bool = False) -> ReviewModel:
    config = ReviewModelConfig(
        emotions=EMOTIONS, hidden_dim=16, dropout=0.0, embedding_dim=16, own_words=own_words
    )
    return ReviewModel(tiny_encoder(seed), config)
