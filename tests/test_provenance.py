"""What artifacts say of their making is compared with what a configuration asks for."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import yaml
from safetensors.numpy import load_file, save_file

from w2s import dag, digest, provenance
from w2s.cli import main
from w2s.config import parse
from w2s.dag import jobs
from w2s.data.sources import sha256_of
from w2s.declare import Plain
from w2s.files.artifacts import load
from w2s.provenance import differing, foreign, has_weights, metadata_of
from w2s.tracks import FILES, STAGES

SPLIT = Path("my results/films/splits/seed0.parquet")
EXAMPLES = Path("my results/films/examples.parquet")


def example():
    return {
        "results": "my results",
        "seeds": [0],
        "datasets": {"films": {"source": "file", "path": "films.csv"}},
        "models": {"a": {"source": "hub", "id": "a/b", "revision": "main"}},
        "pairs": [{"weak": "a", "strong": "a"}],
    }


def run(config, stage, *paths, **job):
    options = [str(path) for path in paths]
    assert main([stage, *options, "--settings", dag.settings(config, stage, **job)]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The first steps of an experiment, in a folder of their own."""
    folder = tmp_path_factory.mktemp("made")
    tiny.write_dataset(folder / "films.csv", n=60)
    config = parse(example())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(config, "examples", "--source", "films.csv", "--examples", EXAMPLES, dataset="films")
        run(config, "split", "--examples", EXAMPLES, "--split", SPLIT, dataset="films", seed="0")
    (folder / "config.yaml").write_text(yaml.safe_dump(example()), encoding="utf-8")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def found(edit=lambda data: None, results="my results"):
    data = example()
    edit(data)
    data["results"] = results
    return dict(differing(parse(data)))


def test_what_the_configuration_asks_for_differs_in_nothing(here):
    assert found() == {}
    shutil.move("my results", "moved")
    shutil.move("films.csv", "texts.csv")
    (here / "elsewhere").mkdir()
    shutil.move("texts.csv", "elsewhere/films.csv")  # in which folder it lies changes nothing
    path = {"source": "file", "path": "elsewhere/films.csv"}
    assert found(lambda data: data["datasets"].update(films=path), "moved") == {}


def test_settings_are_compared(here, subtests):
    films = {
        "val": (7, "made with data.val 0.1, expected 7"),
        "path": ("other.csv", 'made with data.path "films.csv", expected "other.csv"'),
        "title": ("Films", ""),
    }
    for name, (value, expected) in films.items():
        with subtests.test(name):
            told = found(lambda d, new={name: value}: d["datasets"]["films"].update(new))
            assert set(told) == ({EXAMPLES} if expected else set())
            assert all(why.startswith(expected) and "\n" not in why for why in told.values())
    assert found(lambda data: data.update(probe={"l2": 0.1}, seeds=[0, 1])) == {}
    data = example()
    data["datasets"]["films"]["val"] = 7
    assert list(differing(parse(data), skip=lambda path: path == EXAMPLES)) == []


def test_code_is_compared(here, monkeypatch):
    other = {"split": "0" * 16}
    digests = {stage: other.get(stage, digest.code_digest(stage)) for stage in STAGES}
    monkeypatch.setattr(provenance, "code_digest", digests.__getitem__)
    assert found() == {SPLIT: "made by other code"}


def test_inputs_are_compared(here):
    csv = here / "films.csv"
    csv.write_text(csv.read_text(encoding="utf-8").replace("film", "book"), encoding="utf-8")
    with csv.open("a", encoding="utf-8") as file:
        file.write("one more,1\n")
    assert found() == {EXAMPLES: "made from another films.csv"}
    run(parse(example()), "examples", "--source", csv, "--examples", EXAMPLES, dataset="films")
    assert found() == {SPLIT: "made from other examples"}


def test_weights_are_compared(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    facts = {"model": {"model.safetensors": sha256_of(tmp_path / "model.safetensors")}}
    assert has_weights(tmp_path, facts)
    (tmp_path / "more.safetensors").write_bytes(b"weights")
    assert not has_weights(tmp_path, facts)
    (tmp_path / "more.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"others")
    assert not has_weights(tmp_path, facts)
    (tmp_path / "model.safetensors").unlink()
    assert not has_weights(tmp_path, facts)
    assert has_weights(tmp_path, {"dataset": "films"})  # tokens name none


def test_activations_of_other_weights_are_told(here):
    def edit(data):
        data["models"]["a"] = {"source": "local", "path": "model"}

    tiny.write_model(Path("model"), "bert")
    tokens, made = (Path(f"my results/films/{name}/a.safetensors")
                    for name in ("tokens", "activations"))  # fmt: skip
    data = example()
    edit(data)
    config, of = parse(data), {"dataset": "films", "model": "a"}
    run(config, "tokenize", "--examples", EXAMPLES, "--model", "model", "--tokens", tokens, **of)
    run(config, "activations", "--tokens", tokens, "--model", "model", "--activations", made, **of)
    assert found(edit) == {}
    weights = load_file("model/model.safetensors")
    save_file({name: value * 1.5 for name, value in weights.items()}, "model/model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    assert found(edit) == {made: "made with another model than a is now"}


def test_a_file_of_another_stage_and_one_that_says_nothing(here):
    shutil.copy(EXAMPLES, SPLIT)
    assert found() == {SPLIT: "made by examples, expected split"}
    SPLIT.write_bytes(SPLIT.read_bytes()[:-9])
    assert found() == {SPLIT: "it does not say where it is from"}
    SPLIT.unlink()
    assert found() == {}


def test_verify_tells_what_does_not_belong_to_a_configuration(here, capsys):
    def verify(*options):
        capsys.readouterr()
        code = main(["verify", "--config", "config.yaml", *options])
        return code, capsys.readouterr().out.splitlines()

    head = "2 whole, 0 damaged, 0 not artifacts"
    none, one = (f"{n} files do not belong to config.yaml" for n in (0, 1))
    assert verify("my results") == (0, [head, none])
    data = example()
    data["datasets"]["films"]["test"] = 0.5
    Path("config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    old = Path("my results/old/examples.parquet")
    old.parent.mkdir()
    shutil.copy(EXAMPLES, old)
    for name in ("logs/a.csv", "old/.hidden.csv", "report.html", "benchmarks/a.csv"):
        path = Path("my results", name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    code, lines = verify("my results")
    assert code == 1
    assert lines[1].startswith(f"{EXAMPLES}: made with data.test 0.25, expected 0.5")
    strange = f"{old}: no file of this experiment"
    assert lines[2:] == [strange, "2 files do not belong to config.yaml"]
    assert verify("my results/old")[1][1:] == [strange, one]
    assert verify(str(SPLIT))[0] == 0
    old.write_bytes(b"half")
    assert verify("my results")[0] == 2
    assert verify("my results", "--delete")[0] == 1
    assert EXAMPLES.is_file()  # whole, so the next run makes it anew or keeps it
    capsys.readouterr()
    assert main(["verify", "my results"]) == 0  # without a configuration it is as before
    assert capsys.readouterr().out == f"{head}\n"
    assert main(["verify", "--config", "none.yaml", "my results"]) == 2


def test_metadata_is_read_without_the_content(chain):
    for job in chain.jobs.values():
        for name, path in job.outputs.items():
            told = metadata_of(path)
            assert told is not None
            assert told["provenance"]["stage"] == job.stage
            if STAGES[job.stage].outputs[name] is not Plain.FIGURE:
                assert told["digest"] == load(path).checksum


def test_files_of_rules_are_those_that_their_stages_write_and_none_is_of_two_jobs():
    for rule, files in FILES.items():
        outputs = STAGES["evaluate" if rule == "evaluate_finetuned" else rule].outputs
        artifacts = [name for name in files if not name.endswith((".csv", ".md", ".png"))]
        assert len(artifacts) == len(outputs)
        endings = [
            getattr(getattr(kind, "kind", kind), "suffix", ".svg") for kind in outputs.values()
        ]
        assert sorted(Path(name).suffix for name in artifacts) == sorted(endings), rule
    assert set(STAGES) - set(FILES) == {"fetch", "fetch_task"}
    for path in Path(__file__).parents[1].glob("config/*.yaml"):
        config = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
        files = [file for job in jobs(config) for file in job.files]
        assert len(files) == len(set(files)), path.name


def test_settings_of_gathered_shards_are_those_of_the_model():
    config = example()
    config["extraction"] = {"shards": 3}
    config["models"]["a"]["pooling"] = "mean"
    parsed = parse(config)
    (job,) = [job for job in jobs(parsed) if job.rule == "gather_activations"]
    told = json.loads(dag.settings(parsed, job.stage, **job.of))
    assert (told["pooling"], told["code"]) == ("mean", digest.code_digest("activations"))
    assert list(foreign(parsed, ["."])) == []


def test_shards_of_an_unfinished_extraction_are_no_strangers(here):
    for name in ("shard-1-of-2.safetensors", "other.safetensors"):
        path = Path("my results/films/activations/a", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (told,) = foreign(parse(example()), ["my results"])
    assert told == (path, "no file of this experiment")
    path.write_bytes((2).to_bytes(8, "little") + b"[]")
    assert metadata_of(path) is None
    header = json.dumps({"__metadata__": {"w2s": 7}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert metadata_of(path) is None
