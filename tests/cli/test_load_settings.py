"""Settings: what wins, where a value came from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_cli.settings import load_settings, setting_keys
from comfykernel_sdk.errors import ConfigError
from comfykernel_sdk.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "comfykernel.toml"
    path.write_text(text)
    return path


def test_defaults_without_any_source(tmp_path: Path) -> None:
    effective = load_settings({}, environ={}, cwd=tmp_path)
    assert effective.settings.http.port == 8188
    assert effective.settings.paths.base == str(tmp_path)
    assert set(effective.origins.values()) == {"default"}
    assert effective.file == ""


def test_environment_overrides_file_and_flags_override_both(tmp_path: Path) -> None:
    path = write(tmp_path, '[http]\nport = 1\nlisten = "::1"\nmulti_user = true\n')
    effective = load_settings(
        {"http.port": "3"},
        environ={"COMFYKERNEL_HTTP__PORT": "2", "COMFYKERNEL_HTTP__LISTEN": "localhost"},
        cwd=tmp_path,
        flag_names={"http.port": "--port"},
    )
    assert (effective.settings.http.port, effective.settings.http.listen) == (3, "localhost")
    assert effective.settings.http.multi_user is True
    assert effective.origins["http.port"] == "flag --port"
    assert effective.origins["http.listen"] == "environment COMFYKERNEL_HTTP__LISTEN"
    assert effective.origins["http.multi_user"] == f"file {path}"
    assert effective.file == str(path)


def test_file_is_found_in_the_base_directory_before_the_current_one(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path, "[http]\nport = 1\n")
    write(tmp_path / "base", "[http]\nport = 2\n")
    assert load_settings({"paths.base": "base"}, environ={}, cwd=tmp_path).settings.http.port == 2
    assert load_settings({}, environ={}, cwd=tmp_path).settings.http.port == 1


def test_file_of_the_environment_and_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[http]\nport = 1\n")
    (tmp_path / "b.toml").write_text("[http]\nport = 2\n")
    environ = {"COMFYKERNEL_CONFIG": "a.toml"}
    assert load_settings({}, environ=environ, cwd=tmp_path).settings.http.port == 1
    assert load_settings({}, environ=environ, cwd=tmp_path, file=Path("b.toml")).settings.http.port == 2


def test_missing_chosen_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no settings file .*absent\.toml"):
        load_settings({}, environ={}, cwd=tmp_path, file=Path("absent.toml"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[http]\nprot = 1\n", "'prot' in table [http]", "Did you mean 'port'?"),
        ("[htpp]\nport = 1\n", "no table [htpp]", "Did you mean 'http'?"),
        ("[http]\ncache = 'lru'\n", "'cache' in table [http]", "Did you mean 'execution.cache'?"),
        ("port = 1\n", "no table [port]", "Tables: execution, http"),
        ("http = 1\n", "http must be a table", "Write [http]"),
        ("[plugin]\nx = 1\n", "plugin.x must be a table", "[plugin.x]"),
        ("[http]\nport = '1'\n", "Wrong value '1' for http.port", ""),
        ("[http]\nport = 65536\n", "Wrong value 65536 for http.port: Expected 'int' <= 65535", ""),
        ("[jobs]\nmax_attempts = 0\n", "Wrong value 0 for jobs.max_attempts: Expected 'int' >= 1", ""),
        ("[http]\nport = 1.5\n", "Wrong value 1.5 for http.port", ""),
        ("[plugins]\ntransports = 'http'\n", "Wrong value 'http' for plugins.transports", ""),
        ("[execution]\ncache = 'lur'\n", "Wrong value 'lur' for execution.cache", "Did you mean 'lru'?"),
        ("[http\n", "Can't read", ""),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, message: str, hint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings({}, environ={}, cwd=tmp_path)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert str(path) in str(caught.value)


def test_environment_reads_numbers_booleans_and_lists_from_text(tmp_path: Path) -> None:
    environ = {
        "COMFYKERNEL_HTTP__MULTI_USER": "true",
        "COMFYKERNEL_HTTP__MAX_UPLOAD_MB": "1.5",
        "COMFYKERNEL_PLUGINS__TRANSPORTS": "http, mcp",
        "COMFYKERNEL_PLUGINS__NODES": '["a", "b"]',
        "COMFYKERNEL_PLUGIN__MINE__TOKEN": "007",
    }
    settings = load_settings({}, environ=environ, cwd=tmp_path).settings
    assert settings.http.multi_user is True
    assert settings.http.max_upload_mb == 1.5
    assert settings.plugins.transports == ("http", "mcp")
    assert settings.plugins.nodes == ("a", "b")
    assert settings.plugin == {"mine": {"token": "007"}}


@pytest.mark.parametrize("name", ["COMFYKERNEL_HTTP__PROT", "COMFYKERNEL_HTTP__PORT"])
def test_errors_of_the_environment_name_the_variable(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\(environment {name}\)"):
        load_settings({}, environ={name: "x"}, cwd=tmp_path)


def test_variables_of_other_purposes_are_left_alone(tmp_path: Path) -> None:
    environ = {"COMFYKERNEL_WORKER_FD": "3", "COMFYKERNEL_SETTINGS": "{}", "HOME": "/root"}
    assert set(load_settings({}, environ=environ, cwd=tmp_path).origins.values()) == {"default"}


def test_table_of_a_plugin_keeps_its_own_structure(tmp_path: Path) -> None:
    write(tmp_path, "[plugin.s3]\nbucket = 'b'\n[plugin.s3.retry]\ntimes = 3\n")
    effective = load_settings({}, environ={"COMFYKERNEL_PLUGIN__S3__BUCKET": "c"}, cwd=tmp_path)
    assert effective.settings.plugin == {"s3": {"bucket": "c", "retry": {"times": 3}}}
    assert effective.origins["plugin.s3.bucket"] == "environment COMFYKERNEL_PLUGIN__S3__BUCKET"


def test_numbers_of_a_plugin_may_come_from_the_environment(tmp_path: Path) -> None:
    class Mine(msgspec.Struct, forbid_unknown_fields=True):
        limit: int = 1

    settings = load_settings({}, environ={"COMFYKERNEL_PLUGIN__MINE__LIMIT": "5"}, cwd=tmp_path).settings
    assert settings.of_plugin("mine", Mine).limit == 5


def test_relative_paths_become_absolute(tmp_path: Path) -> None:
    settings = load_settings(
        {"paths.base": "data", "paths.extra_model_paths": ("a.yaml",)}, environ={}, cwd=tmp_path
    ).settings
    assert settings.paths.base == str(tmp_path / "data")
    assert settings.paths.extra_model_paths == (str(tmp_path / "a.yaml"),)
    assert settings.paths.output == ""


def test_settings_survive_json_for_the_worker(tmp_path: Path) -> None:
    write(tmp_path, "[plugin.s3]\nbucket = 'b'\n[scheduler]\ndevices = ['cpu']\n")
    settings = load_settings({}, environ={}, cwd=tmp_path).settings
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
"""What an environment can hold."""


@given(st.dictionaries(st.sampled_from(sorted(setting_keys())), TEXTS, max_size=3))
def test_any_text_is_taken_or_refused_with_its_key(values: dict[str, str]) -> None:
    environ = {f"COMFYKERNEL_{key.upper().replace('.', '__')}": text for key, text in values.items()}
    environ.pop("COMFYKERNEL_PATHS__BASE", None)
    try:
        effective = load_settings({}, environ=environ, cwd=Path("/nowhere"))
    except ConfigError as error:
        assert error.extra_info["key"] in values  # noqa: PT017
    else:
        assert isinstance(effective.settings, Settings)
