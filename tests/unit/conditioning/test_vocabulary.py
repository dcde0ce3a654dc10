import copy
import pickle
import sys

import pytest
import torch

from vqgen.conditioning import Vocabulary, train_vocabulary

CAPTIONS = ["red apple", "green apple", "red book", "flag: Åland Islands"]


def test_a_vocabulary_writes_any_text_and_reads_it_back() -> None:
    vocabulary = Vocabulary(train_vocabulary(CAPTIONS, size=300))
    texts = ["red apple", "flag: åland islands", "never seen: 日本 🍎", "a  b"]
    assert vocabulary.decode(vocabulary.encode(texts, length=60)) == texts


def test_capitals_and_spaces_at_the_ends_do_not_count() -> None:
    vocabulary = Vocabulary(train_vocabulary(CAPTIONS, size=300))
    plain, other = vocabulary.encode(["red apple", "  RED Apple "], length=8)
    assert torch.equal(plain, other)


def test_captions_are_filled_up_cut_off_or_empty() -> None:
    vocabulary = Vocabulary(train_vocabulary(CAPTIONS * 2, size=400))
    tokens = vocabulary.encode(["red apple", "red apple red apple red apple", ""], length=3)
    assert tokens.dtype == torch.int64
    assert tokens[0].tolist()[2:] == [-1]
    assert tokens[1].min() >= 0
    assert tokens[2].tolist() == [-1, -1, -1]


def test_frequent_pairs_become_tokens_up_to_the_size() -> None:
    captions = ["red apple"] * 3
    assert len(Vocabulary(train_vocabulary(captions, size=258))) == 258
    words = Vocabulary(train_vocabulary(captions, size=1000))
    assert (words.encode(["red apple"], length=9) >= 0).sum() == 2
    assert len(words) < 1000  # nothing more repeats


def test_the_same_captions_give_the_same_vocabulary_which_can_be_copied_and_sent() -> None:
    text = train_vocabulary(CAPTIONS, size=300)
    assert text == train_vocabulary(list(CAPTIONS), size=300)
    vocabulary = Vocabulary(text)
    expected = vocabulary.encode(CAPTIONS, length=30)
    for other in (copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert torch.equal(other.encode(CAPTIONS, length=30), expected)


def test_a_vocabulary_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="captions to learn a vocabulary from, got none"):
        train_vocabulary(["", " "])
    with pytest.raises(ValueError, match="size must be >= 256, one token for every byte, got 100"):
        train_vocabulary(CAPTIONS, size=100)
    with pytest.raises(ValueError, match=r"a vocabulary as train_vocabulary gives it, got '\{\}'"):
        Vocabulary("{}")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'vqgen\[text\]'"):
        train_vocabulary(CAPTIONS)
