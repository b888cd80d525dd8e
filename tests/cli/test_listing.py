import os

import pytest

from augdrop.cli.images import load
from augdrop.cli.listing import left_out, list_images
from augdrop.errors import AugDropError


@pytest.fixture
def tree(tmp_path):
    for name in ["b/2.PNG", "b/10.jpg", "a.webp", "c/d/e.tif", ".hidden.png", ".cache/x.png", "notes.md"]:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "images"


def names(source):
    return [file.name for file in list_images(source)]


def test_folder_is_searched_recursively_and_sorted_by_posix_name(tree):
    assert names(tree) == ["a.webp", "b/10.jpg", "b/2.PNG", "c/d/e.tif"]
    assert [file.path for file in list_images(tree)] == [tree / name for name in names(tree)]
    assert names(str(tree)) == names(tree)


def test_links_are_followed_but_not_round_in_a_circle(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far.bmp").write_bytes(b"x")
    (outside / "home").symlink_to(tree, target_is_directory=True)
    (tree / "c" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "link").symlink_to(outside, target_is_directory=True)
    (tree / "one.png").symlink_to(tree / "a.webp")
    assert names(tree) == ["a.webp", "b/10.jpg", "b/2.PNG", "c/d/e.tif", "link/far.bmp", "one.png"]


def test_two_links_to_one_folder_are_two_sets_of_names(tree):
    (tree / "b2").symlink_to(tree / "b", target_is_directory=True)
    assert names(tree) == ["a.webp", "b/10.jpg", "b/2.PNG", "b2/10.jpg", "b2/2.PNG", "c/d/e.tif"]


def test_dangling_link_is_listed_so_that_reading_it_tells(tree):
    (tree / "gone.png").symlink_to(tree / "nowhere.png")
    assert "gone.png" in names(tree)
    with pytest.raises(AugDropError, match=r"gone\.png.*No such file"):
        load(tree / "gone.png")


def test_folder_named_like_an_image_is_a_folder(tree):
    (tree / "set.png").mkdir()
    (tree / "set.png" / "in.jpeg").write_bytes(b"x")
    assert "set.png/in.jpeg" in names(tree)
    assert "set.png" not in names(tree)


def test_what_is_no_image_by_its_suffix_is_counted(tree):
    assert left_out(tree) == "1 .md"
    for name in ["x.heic", "b/y.HEIC", "Makefile"]:
        (tree / name).write_bytes(b"x")
    assert left_out(tree) == "2 .heic, 1 .md, 1 Makefile"
    assert left_out(tree / "a.webp") == ""


def test_single_file(tree):
    assert list_images(tree / "b" / "2.PNG") == [(tree / "b" / "2.PNG", "2.PNG")]


def test_text_list_is_relative_to_its_folder(tree):
    listing = tree / "list.txt"
    listing.write_bytes("\ufeff# chosen\r\nc/d/e.tif\r\n\r\n  a.webp \r\n./a.webp\r\nb/../b/2.PNG".encode())
    assert names(listing) == ["a.webp", "b/2.PNG", "c/d/e.tif"]
    assert list_images(listing)[0].path.samefile(tree / "a.webp")


def test_text_list_given_relative_to_the_working_folder(tree, monkeypatch):
    (tree / "b" / "list").write_text("10.jpg\n2.PNG\n")
    monkeypatch.chdir(tree.parent)
    assert names("images/b/list") == ["10.jpg", "2.PNG"]


def test_text_list_that_leaves_its_folder_is_named_from_the_common_one(tree, tmp_path):
    listing = tmp_path / "lists" / "all.lst"
    listing.parent.mkdir()
    listing.write_text(f"{tree / 'a.webp'}\n../images/b/2.PNG\n")
    assert names(listing) == ["a.webp", "b/2.PNG"]


@pytest.mark.parametrize("line", ["missing.png", "notes.md", "c", "a.webp b/2.PNG"])
def test_bad_line_is_named(tree, line):
    listing = tree / "list.txt"
    listing.write_text(f"a.webp\n{line}\n")
    with pytest.raises(AugDropError, match="line 2") as caught:
        list_images(listing)
    assert line in str(caught.value)
    assert str(listing) in str(caught.value)


def test_nothing_found(tmp_path):
    (tmp_path / ".x.png").write_bytes(b"x")
    with pytest.raises(AugDropError, match=r"no image file.*\.jpg.*hidden"):
        list_images(tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(AugDropError, match="no image file"):
        list_images(tmp_path / "empty.txt")


def test_missing_source(tmp_path):
    for name in ("nowhere", "nowhere.png"):
        with pytest.raises(AugDropError, match=rf"{name}'.*No such file"):
            list_images(tmp_path / name)


def test_binary_file_is_no_list(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(AugDropError, match=r"model\.bin.*binary file.*UTF-8"):
        list_images(tmp_path / "model.bin")


def test_folder_without_permission_is_named(public_folder, unprivileged):
    (public_folder / "b").mkdir(mode=0)
    with unprivileged(), pytest.raises(AugDropError, match=r"/b'.*Permission denied"):
        list_images(public_folder)


def test_names_that_are_not_utf8(tree):
    odd = os.fsdecode(b"odd\xff.png")
    (tree / odd).write_bytes(b"x")
    assert odd in names(tree)
