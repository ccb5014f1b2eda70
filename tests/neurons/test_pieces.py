"""Tokens as people write them."""

import pytest
from continuing_tokenizers import byte_level, metaspace
from networks import SENTENCES, word_pieces

from faithbench.neurons.pieces import Pieces


def test_a_byte_level_token_that_is_no_whole_character_shows_its_bytes():
    tokenizer = byte_level([*SENTENCES, "“ä”"], 300)
    pieces = Pieces(tokenizer)
    ids = tokenizer("a “ä 語”", add_special_tokens=False)["input_ids"]
    shown = [pieces[number] for number in ids]
    assert "".join(shown).encode().decode("unicode_escape").encode("latin-1").decode() == "a “ä 語”" or "ä" in shown
    assert "\ufffd" not in "".join(shown)
    assert "\\x" in "".join(shown)


@pytest.mark.parametrize("letter", ["é", "語", "“"])
def test_the_bytes_of_a_character_are_its_utf_8(letter):
    tokenizer = byte_level(SENTENCES, 300)
    ids = tokenizer(letter, add_special_tokens=False)["input_ids"]
    shown = "".join(Pieces(tokenizer)[number] for number in ids)
    assert shown.strip() == letter.encode().decode("ascii", errors="backslashreplace")


def test_spaces_are_shown_where_a_token_begins_with_one():
    tokenizer = byte_level(SENTENCES, 300)
    text = "the soup was warm"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "".join(Pieces(tokenizer)[number] for number in ids).strip() == text
    llama = metaspace(SENTENCES)
    ids = llama(text, add_special_tokens=False)["input_ids"]
    assert "".join(Pieces(llama)[number] for number in ids).strip() == text


def test_it_is_a_sequence_of_the_whole_vocabulary():
    tokenizer = word_pieces()
    pieces = Pieces(tokenizer)
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert list(pieces) == names
    assert (len(pieces), pieces[-1], pieces[:3]) == (len(names), names[-1], tuple(names[:3]))
    with pytest.raises(IndexError):
        pieces[len(names)]
