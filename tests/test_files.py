"""Files and pipes as a source: every entry once, in time order, or an error with its remedy."""

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segstream.adapters.feed import sample_columns
from segstream.adapters.files import FileSource, open_source
from segstream.adapters.mapping_files import mapping_names, named_mapping
from segstream.adapters.stdin import StreamSource
from segstream.core.events import Event, parse_json
from segstream.core.mapping import IDENTITY, Mapping, load_mapping
from segstream.errors import BadEventError, ConfigError, SourceError
from segstream.ports import Chunk, Source

SALES = load_mapping(
    """
format = "csv"
zone = "UTC"

[[skip]]
reason = "no_customer"
when = { column = "customer", empty = true }

[[event]]
type = "purchase"
event_id = "{file}:{line}"
customer_id = "customer"
ts = { column = "day", format = "epoch_s" }
amount = "price"
category = "note"

[[event]]
type = "return"
event_id = "{file}:{line}:back"
customer_id = "customer"
ts = { column = "back", format = "epoch_s" }
when = { column = "back", empty = false }
amount = "price"
""",
    "sales.toml",
)
HEADER = "customer,day,back,price,note\n"


def line(n: int, ts: object = 0) -> bytes:
    row = {"event_id": f"e{n}", "customer_id": "c", "ts": ts, "type": "visit"}
    return json.dumps(row).encode() + b"\n"


def drain(source: Source, position: int = 0, max_bytes: int = 100) -> Iterator[Chunk]:
    while chunk := source.read(position, max_bytes):
        assert chunk.position == position
        assert len(chunk.payloads) == len(chunk.parsed) == len(chunk.places) > 0
        yield chunk
        position += len(chunk.payloads)


def parsed(source: Source, position: int = 0, max_bytes: int = 100) -> list[object]:
    """What all entries became, short: an event's id, a dead letter's code, or None."""
    found: list[object] = []
    for chunk in drain(source, position, max_bytes):
        found += [
            one.event_id if isinstance(one, Event) else getattr(one, "code", one)
            for one in chunk.parsed
        ]
    return found


def of_files(*paths: Path, mapping: Mapping = IDENTITY) -> list[object]:
    with closing(FileSource(paths, mapping)) as source:
        return parsed(source)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestOrder:
    def test_unsorted_file_is_sorted_by_time(self, tmp_path: Path) -> None:
        """Entries come by time; those of one time in the order of the file."""
        content = b"".join([line(0, 5), line(1, 3), line(2, 5), line(3, 3)])
        assert of_files(written(tmp_path / "a.jsonl", content)) == ["e1", "e3", "e0", "e2"]

    def test_two_files_are_merged(self, tmp_path: Path) -> None:
        """Files are merged by time; those of one time in the order of the files."""
        first = written(tmp_path / "a.jsonl", line(0, 1) + line(1, 3) + line(2, 5))
        second = written(tmp_path / "b.jsonl", line(3, 1) + line(4, 2) + line(5, 6))
        assert of_files(first, second) == ["e0", "e3", "e4", "e1", "e2", "e5"]
        assert of_files(second, first) == ["e3", "e0", "e4", "e1", "e2", "e5"]

    def test_rows_without_a_time_stay_where_they_are(self, tmp_path: Path) -> None:
        """A row whose time cannot be read is a dead letter behind the row before it."""
        rows = [line(0, "soon"), line(1, 7), b"{\n", line(2, 9), line(3, True), line(4, 1)]
        path = written(tmp_path / "a.jsonl", b"".join(rows))
        expected = ["e4", "bad_field", "e1", "not_json", "e2", "bad_field"]
        assert of_files(path) == expected

    def test_no_row_has_a_time(self, tmp_path: Path) -> None:
        """Where no row has a time all are dead letters, in their order."""
        assert of_files(written(tmp_path / "a.jsonl", b"{}\n{\n")) == ["bad_field", "not_json"]

    def test_iso_and_epoch_times_are_one_order(self, tmp_path: Path) -> None:
        """ISO times with zones and epoch ms are compared as instants."""
        rows = [line(0, "1970-01-01T01:00:00+01:00"), line(1, -1), line(2, "1970-01-01T00:00:01Z")]
        assert of_files(written(tmp_path / "a.jsonl", b"".join(rows))) == ["e1", "e0", "e2"]

    def test_one_row_two_events(self, tmp_path: Path) -> None:
        """The events of one row stand each at its own time; a skipped row is counted."""
        rows = "a,1,4,2,\na,2,,2,\n,3,,2,\na,3,,2,\n"
        path = written(tmp_path / "s.csv", HEADER + rows)
        with closing(FileSource([path], SALES)) as source:
            found = ["s.csv:2", "s.csv:3", None, "s.csv:5", "s.csv:2:back"]
            assert parsed(source) == found
            assert source.total == 5
            assert (source.first_ms, source.last_ms) == (1000, 4000)
            assert source.skips(2) == {}
            assert source.skips(5) == {"no_customer": 1}

    @given(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=4),
        st.integers(1, 400),
        st.integers(0, 20),
    )
    def test_merge_is_a_stable_sort(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        files: list[list[int]],
        max_bytes: int,
        position: int,
    ) -> None:
        """The order is a stable sort of all rows by time, from any position, in any chunks."""
        folder = tmp_path_factory.mktemp("merge")
        rows = [(ts, f, n) for f, times in enumerate(files) for n, ts in enumerate(times)]
        for f in range(len(files)):
            own = [line(100 * f + n, ts) for ts, file, n in rows if file == f]
            written(folder / f"{f}.jsonl", b"".join(own))
        ordered = [f"e{100 * f + n}" for _, f, n in sorted(rows)]
        paths = [folder / f"{f}.jsonl" for f in range(len(files))]
        with closing(FileSource(paths)) as source:
            assert parsed(source, position, max_bytes) == ordered[position:]


class TestContent:
    def test_plain_rows_are_the_contract(self, tmp_path: Path) -> None:
        """Without a mapping rows go through the contract's own parser, bytes untouched."""
        rows = [line(n, n)[:-1] for n in range(50)]
        path = written(tmp_path / "a.jsonl", b"\r\n".join(rows))
        with closing(FileSource([path])) as source:
            chunks = list(drain(source, max_bytes=1000))
        assert [one for chunk in chunks for one in chunk.payloads] == rows
        assert [one for chunk in chunks for one in chunk.parsed] == [parse_json(r) for r in rows]
        assert [one for chunk in chunks for one in chunk.places][16:18] == [
            f"{path}:17",
            f"{path}:18",
        ]

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        """A byte-order mark belongs to neither the header nor the first row."""
        path = written(tmp_path / "a.csv", "\ufeff" + HEADER + "a,1,,2,\n")
        assert of_files(path, mapping=SALES) == ["a.csv:2"]
        path = written(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + line(0))
        assert of_files(path) == ["e0"]

    def test_quoted_line_breaks(self, tmp_path: Path) -> None:
        """A line break within quotes is part of the field, also where files are out of order."""
        rows = 'a,3,,2,"x\ny, ""z"""\r\n\r\na,1,,2,u\n"a",2,,2,"\nv"'
        path = written(tmp_path / "a.csv", HEADER + rows)
        with closing(FileSource([path], SALES)) as source:
            chunks = list(drain(source, max_bytes=1))
        events = [chunk.parsed[0] for chunk in chunks]
        assert all(isinstance(one, Event) for one in events)
        assert [one.category for one in events if isinstance(one, Event)] == [
            "u",
            "\nv",
            'x\ny, "z"',
        ]
        assert [chunk.places[0] for chunk in chunks] == [f"{path}:{n}" for n in (5, 6, 2)]
        assert chunks[2].payloads[0] == b'a,3,,2,"x\ny, ""z"""'

    def test_gzip_is_the_same(self, tmp_path: Path) -> None:
        """A gzip file gives what the plain one gives; its copy is gone after `close`."""
        content = line(0, 2) + line(1, 1)
        packed = tmp_path / "in.jsonl.gz"
        packed.write_bytes(gzip.compress(content, mtime=0))
        work = tmp_path / "work"
        work.mkdir()
        with closing(FileSource([packed, packed], work_dir=work)) as source:
            assert any(work.iterdir())
            assert parsed(source) == ["e1", "e1", "e0", "e0"]
        assert not any(work.iterdir())

    def test_semicolons_and_latin_1(self, tmp_path: Path) -> None:
        """Delimiter and encoding are the mapping's."""
        text = SALES.text.replace('zone = "UTC"', 'zone="UTC"\ndelimiter=";"\nencoding="cp1252"')
        mapping = load_mapping(text, "x")
        rows = (HEADER + "a,1,,2,caf\u00e9 5\u20ac\n").replace(",", ";").encode("cp1252")
        with closing(FileSource([written(tmp_path / "a.csv", rows)], mapping)) as source:
            (chunk,) = drain(source)
        assert isinstance(chunk.parsed[0], Event)
        assert chunk.parsed[0].category == "caf\u00e9 5\u20ac"

    def test_row_in_another_encoding(self, tmp_path: Path) -> None:
        """A row whose bytes are no UTF-8 is a dead letter, its neighbours are not."""
        content = (HEADER + "a,1,,2,x\na,2,,2,\u00e9\na,3,,2,x\n").encode("latin-1")
        path = written(tmp_path / "a.csv", content)
        assert of_files(path, mapping=SALES) == ["a.csv:2", "bad_row", "a.csv:4"]

    def test_rows_over_block_boundaries(self, tmp_path: Path) -> None:
        """Rows are whole wherever the blocks of the index pass end."""
        n = 60_000
        path = written(tmp_path / "a.jsonl", b"".join(line(i, i) for i in range(n)))
        assert path.stat().st_size > 4 << 20
        with closing(FileSource([path])) as source:
            assert parsed(source, max_bytes=1 << 20) == [f"e{i}" for i in range(n)]

    def test_far_apart_rows(self, tmp_path: Path) -> None:
        """Rows of a badly ordered file are fetched one by one."""
        n = 2000
        order = np.random.default_rng(1).permutation(n).tolist()
        rows = [
            json.dumps({**json.loads(line(i, i)), "category": "x" * 900}).encode() for i in order
        ]
        path = written(tmp_path / "a.jsonl", b"\n".join(rows))
        with closing(FileSource([path])) as source:
            assert parsed(source, max_bytes=10_000) == [f"e{i}" for i in range(n)]


class TestRefused:
    def refused(self, remedy: str, *paths: Path, mapping: Mapping = IDENTITY) -> None:
        with pytest.raises(SourceError, match=remedy):
            FileSource(paths, mapping)

    def test_missing(self, tmp_path: Path) -> None:
        """A file that is not there is an error before the first event."""
        self.refused("Mend the path", tmp_path / "a.jsonl")

    def test_none(self) -> None:
        """No file at all is an error."""
        self.refused("Name one")

    def test_directory(self, tmp_path: Path) -> None:
        """A directory is an error that says to name its files."""
        self.refused("Name its files", tmp_path)

    def test_pipe_named_as_a_file(self, tmp_path: Path) -> None:
        """A named pipe is an error, not a wait: it cannot be read twice."""
        os.mkfifo(tmp_path / "fifo")
        self.refused("Pipe it to stdin", tmp_path / "fifo")

    def test_stdin_beside_files(self) -> None:
        """Stdin is a source of its own."""
        with pytest.raises(SourceError, match="either files, or `-`"):
            open_source(["-", "a.jsonl"])

    def test_empty(self, tmp_path: Path) -> None:
        """An empty file, one of empty lines, and one with only a header are errors."""
        self.refused("empty file", written(tmp_path / "a.jsonl", b""))
        self.refused("expected rows", written(tmp_path / "b.jsonl", b"\n\n"))
        self.refused("header", written(tmp_path / "a.csv", b"\n\n"), mapping=SALES)
        self.refused("expected rows", written(tmp_path / "b.csv", HEADER), mapping=SALES)

    @pytest.mark.parametrize("kept", [0.5, 0.99])
    def test_truncated_gzip(self, tmp_path: Path, kept: float) -> None:
        """Of a gzip file that ends early nothing is applied, and nothing is left behind."""
        packed = gzip.compress(b"".join(line(n, n) for n in range(1000)), mtime=0)
        path = written(tmp_path / "a.jsonl.gz", packed[: int(len(packed) * kept)])
        work = tmp_path / "work"
        work.mkdir()
        with pytest.raises(SourceError, match="ended before the end-of-stream marker"):
            FileSource([path], work_dir=work)
        assert not any(work.iterdir())

    def test_corrupt_gzip(self, tmp_path: Path) -> None:
        """A gzip file with a wrong byte inside is an error."""
        packed = bytearray(gzip.compress(line(0) * 1000, mtime=0))
        packed[len(packed) // 2] ^= 0xFF
        self.refused("complete gzip file", written(tmp_path / "a.gz", bytes(packed)))

    def test_no_working_directory(self, tmp_path: Path) -> None:
        """A working directory that is not there is an error."""
        path = written(tmp_path / "a.jsonl", line(0))
        with pytest.raises(SourceError, match="writable working directory"):
            FileSource([path], work_dir=tmp_path / "none")

    def test_utf_16(self, tmp_path: Path) -> None:
        """UTF-16 is an error that says how to convert it."""
        path = written(tmp_path / "a.csv", HEADER.encode("utf-16"))
        self.refused("iconv", path, mapping=SALES)

    def test_header_in_another_encoding(self, tmp_path: Path) -> None:
        """A header that is no UTF-8 is an error that says what to declare."""
        path = written(tmp_path / "a.csv", "caf\u00e9,x\n1,2\n".encode("latin-1"))
        self.refused("encoding", path, mapping=SALES)

    def test_json_array(self, tmp_path: Path) -> None:
        """A JSON array is an error that says how to convert it."""
        self.refused("jq", written(tmp_path / "a.json", b'[{"event_id": 1}]'))

    def test_wrong_format(self, tmp_path: Path) -> None:
        """A CSV file with a JSON mapping is a matter of configuration."""
        with pytest.raises(ConfigError, match="--mapping"):
            FileSource([written(tmp_path / "a.csv", HEADER)])

    def test_unmapped_column(self, tmp_path: Path) -> None:
        """A mapping that names a column the file has not is refused with the nearest name."""
        path = written(tmp_path / "a.csv", HEADER.replace("price", "prices") + "a,1,,2,\n")
        with pytest.raises(ConfigError, match="Did you mean `prices`"):
            FileSource([path], SALES)

    def test_doubled_column(self, tmp_path: Path) -> None:
        """A header that has a name twice is refused."""
        path = written(tmp_path / "a.csv", HEADER.replace("note", "price") + "a,1,,2,\n")
        with pytest.raises(ConfigError, match="twice"):
            FileSource([path], SALES)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(line(9))


def _shrink(path: Path) -> None:
    os.truncate(path, 10)


def _replace(path: Path) -> None:
    other = written(path.with_name("other"), path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("harm", [Path.unlink, _grow, _shrink, _replace])
def test_file_changes_midway(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """A file that vanishes, grows, shrinks or is replaced stops the run, with the remedy."""
    path = written(tmp_path / "a.jsonl", b"".join(line(n, n) for n in range(9)))
    with closing(FileSource([path])) as source:
        assert source.read(0, 100)
        harm(path)
        with pytest.raises(SourceError, match=r"[Rr]un again"):
            source.read(1, 100)


class TestIdentity:
    def identity(self, *paths: Path, mapping: Mapping = IDENTITY) -> str:
        with closing(FileSource(paths, mapping)) as source:
            return source.identity

    def test_content_and_mapping(self, tmp_path: Path) -> None:
        """The identity follows the bytes and the mapping, not the files' places."""
        a = written(tmp_path / "a.jsonl", line(0))
        b = written(tmp_path / "b.jsonl", line(0))
        c = written(tmp_path / "c.jsonl", line(1))
        other = load_mapping("# other\ncontract = true", "x")
        assert self.identity(a) == self.identity(b)
        found = {
            self.identity(a),
            self.identity(c),
            self.identity(a, c),
            self.identity(c, a),
            self.identity(a, mapping=other),
        }
        assert len(found) == 5

    def test_lookups(self, tmp_path: Path) -> None:
        """The identity follows the lookup files."""
        text = '[lookup.x]\nfile = "x.csv"\nkey = "k"\non = "note"\noptional = true\n'
        mapping = load_mapping(SALES.text + text, "x")
        path = written(tmp_path / "a.csv", HEADER + "a,1,,2,\n")
        written(tmp_path / "x.csv", "k\n1\n")
        before = self.identity(path, mapping=mapping)
        written(tmp_path / "x.csv", "k\n2\n")
        assert self.identity(path, mapping=mapping) != before

    def test_verify(self, tmp_path: Path) -> None:
        """A resumed run on other files is refused."""
        path = written(tmp_path / "a.jsonl", line(0))
        with closing(FileSource([path])) as source:
            source.verify(1, source.digest_at(1))
            with pytest.raises(SourceError, match="same ones"):
                source.verify(1, "other")


class TestLookupFiles:
    TEXT = SALES.text + '[lookup.x]\nfile = "x.csv"\nkey = "k"\non = "note"\n'

    @pytest.mark.parametrize(
        ("content", "error", "remedy"),
        [
            (None, SourceError, "Put it beside the source"),
            ("", SourceError, "CSV file with a header"),
            ("j\n1\n", ConfigError, "expected column `k`"),
            ("k,v\n1,2\n1,3\n", SourceError, "each `k` once"),
            ("k,v\n1\n", SourceError, "2 columns"),
        ],
    )
    def test_refused(
        self, tmp_path: Path, content: str | None, error: type[Exception], remedy: str
    ) -> None:
        """A lookup file that is missing, empty, without its key or ambiguous is refused."""
        path = written(tmp_path / "a.csv", HEADER + "a,1,,2,1\n")
        if content is not None:
            written(tmp_path / "x.csv", content)
        with pytest.raises(error, match=remedy):
            FileSource([path], load_mapping(self.TEXT, "x.toml"))


class TestSampleColumns:
    def test_csv(self, tmp_path: Path) -> None:
        """Of a CSV file the header, gzipped or not."""
        path = written(tmp_path / "a.csv.gz", gzip.compress(HEADER.encode()))
        assert sample_columns(path, SALES) == ["customer", "day", "back", "price", "note"]

    def test_json(self, tmp_path: Path) -> None:
        """Of JSON lines the paths of the first rows; what is no JSON is passed over."""
        path = written(tmp_path / "a.jsonl", b'{"a": {"b": 1}}\n{\n{"c": 1}')
        assert sample_columns(path, IDENTITY) == ["a.b", "c"]

    def test_nothing_there(self, tmp_path: Path) -> None:
        """A file that is missing or empty is an error."""
        for path in (tmp_path / "none", written(tmp_path / "a.jsonl", b"")):
            with pytest.raises(SourceError):
                sample_columns(path, IDENTITY)


class TestNamedMappings:
    def test_all_are_usable(self) -> None:
        """Every mapping that comes with Segstream can be loaded, and says what it is for."""
        assert "plain" in mapping_names()
        for name in mapping_names():
            assert named_mapping(name).declared.description

    def test_path(self, tmp_path: Path) -> None:
        """A mapping of one's own is named by its path."""
        path = written(tmp_path / "own.toml", SALES.text)
        assert named_mapping(str(path)).rules == SALES.rules

    def test_unknown(self, tmp_path: Path) -> None:
        """An unknown name is answered with the nearest, a missing file with its path."""
        with pytest.raises(ConfigError, match="Did you mean `online-retail`"):
            named_mapping("online_retail")
        with pytest.raises(ConfigError, match="Mend the path"):
            named_mapping(str(tmp_path / "none.toml"))


class Pipe:
    """A pipe and a source on its reading end."""

    def __init__(self, mapping: Mapping = IDENTITY) -> None:
        read, self._write = os.pipe()
        self._file = os.fdopen(read, "rb", buffering=0)
        self.source = StreamSource(self._file, mapping)

    def send(self, content: bytes, *, end: bool = False) -> None:
        if content:
            os.write(self._write, content)
        if end:
            os.close(self._write)

    def close(self) -> None:
        self.source.close()
        self._file.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with closing(Pipe()) as made:
        yield made


class TestStream:
    def test_arrival_order(self, pipe: Pipe) -> None:
        """A pipe's rows come as they arrive, whatever their time."""
        pipe.send(line(0, 5) + line(1, 3) + b"{\n" + line(2)[:-1], end=True)
        assert parsed(pipe.source) == ["e0", "e1", "not_json", "e2"]
        assert (pipe.source.total, pipe.source.first_ms) == (None, None)

    def test_a_row_is_given_out_as_soon_as_it_is_complete(self, pipe: Pipe) -> None:
        """A read does not wait for more than one row."""
        pipe.send(line(0) + line(1)[:9])
        chunk = pipe.source.read(0, 1 << 20)
        assert chunk is not None
        assert list(chunk.payloads) == [line(0)[:-1]]
        pipe.send(line(1)[9:], end=True)
        assert parsed(pipe.source, 1) == ["e1"]

    def test_chunks_keep_to_their_size(self, pipe: Pipe) -> None:
        """A chunk is about as large as asked for, however much has arrived."""
        pipe.send(b"".join(line(n) for n in range(100)), end=True)
        sizes = [sum(map(len, chunk.payloads)) for chunk in drain(pipe.source, max_bytes=500)]
        assert max(sizes) <= 500
        assert len(sizes) < 20

    def test_memory_does_not_grow(self, tmp_path: Path) -> None:
        """A file given as stdin is read no further than the chunks that were asked for."""
        path = written(tmp_path / "a.jsonl", b"".join(line(n) for n in range(60_000)))
        with path.open("rb", buffering=0) as file:
            source = open_source(["-"], stdin=file)
            for at, _ in zip(range(30), drain(source, max_bytes=1000), strict=False):
                assert file.tell() <= (1 << 20) + 1000 * at

    def test_resume(self) -> None:
        """A resumed run passes over what was consumed, from any position."""
        rows = HEADER.encode() + b'a,1,2,2,"x\ny"\n,3,,2,\nb,4,,2,\n'
        with closing(Pipe(SALES)) as first:
            first.send(rows, end=True)
            whole = parsed(first.source, max_bytes=10)
            digests = [first.source.digest_at(at) for at in range(5)]
            assert first.source.skips(4) == {"no_customer": 1}
        assert whole == ["stdin:2", "stdin:2:back", None, "stdin:5"]
        for position in range(5):
            with closing(Pipe(SALES)) as again:
                again.send(rows, end=True)
                again.source.verify(position, digests[position])
                assert parsed(again.source, position) == whole[position:]

    def test_resume_with_other_rows(self, pipe: Pipe) -> None:
        """Other rows than those consumed are refused."""
        pipe.send(line(0) + line(1), end=True)
        with pytest.raises(SourceError, match="Pipe the same rows in"):
            pipe.source.verify(1, "other")

    def test_resume_with_fewer_rows(self, pipe: Pipe) -> None:
        """Fewer rows than were consumed are refused."""
        pipe.send(line(0), end=True)
        with pytest.raises(SourceError, match="expected the 2 entries"):
            pipe.source.read(2, 100)

    def test_no_way_back(self, pipe: Pipe) -> None:
        """A pipe is read once."""
        pipe.send(line(0) + line(1), end=True)
        assert pipe.source.read(0, 1)
        with pytest.raises(SourceError, match="is gone"):
            pipe.source.read(0, 1)

    def test_digest_is_only_kept_for_a_while(self, pipe: Pipe) -> None:
        """The digest of a position long ago is refused; memory does not grow."""
        pipe.send(b"".join(line(n) for n in range(40)), end=True)
        assert len(parsed(pipe.source, max_bytes=1)) == 40
        assert pipe.source.digest_at(35) != pipe.source.digest_at(40)
        with pytest.raises(SourceError, match="right after the read"):
            pipe.source.digest_at(1)

    @pytest.mark.parametrize(
        ("content", "remedy"),
        [
            (b"", "expected rows on stdin"),
            (gzip.compress(b"x", mtime=0), "zcat"),
            (b"[{}]\n", "jq"),
        ],
    )
    def test_refused(self, pipe: Pipe, content: bytes, remedy: str) -> None:
        """An empty pipe, gzip and a JSON array are refused with the remedy."""
        pipe.send(content, end=True)
        with pytest.raises(SourceError, match=remedy):
            pipe.source.read(0, 100)

    def test_header_only(self) -> None:
        """A pipe with only a header ends without an event."""
        with closing(Pipe(SALES)) as pipe:
            pipe.send(HEADER.encode(), end=True)
            assert parsed(pipe.source) == []


def test_dead_letters_keep_their_bytes(tmp_path: Path) -> None:
    """A dead letter's payload is the row as it stands in the file."""
    bad: Sequence[bytes] = [b'{"a": "\xff"}', b"{", b'{"event_id": "1"}']
    path = written(tmp_path / "a.jsonl", b"\n".join(bad))
    with closing(FileSource([path])) as source:
        (chunk,) = drain(source, max_bytes=1000)
    assert list(chunk.payloads) == bad
    assert all(isinstance(one, BadEventError) for one in chunk.parsed)
