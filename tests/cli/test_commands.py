"""``comfykernel`` itself and the commands that show something."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from comfykernel_cli import _flags
from comfykernel_cli.settings import setting_keys
from comfykernel_compat_comfyui.compat_settings import CompatSettings
from comfykernel_devtools.settings import DevtoolsSettings

from .conftest import Invoke


def test_help_lists_own_commands_first_then_those_of_plugins(invoke: Invoke) -> None:
    lines = invoke("--help").stdout.partition("Commands:")[2].split("\n")
    listed = [line.split()[0] for line in lines if line]
    assert listed == ["serve", "run", "convert", "plugins", "nodes", "config", "shout"]


def test_register_commands_adds_a_command(invoke: Invoke) -> None:
    assert invoke("shout", "hey").stdout == "HEY\n"


def test_unknown_commands_and_flags_get_the_near_miss(invoke: Invoke) -> None:
    unknown = invoke("plugin")
    assert (unknown.exit_code, "Did you mean 'plugins'?" in unknown.stderr) == (2, True)
    assert "Did you mean '--port'?" in invoke("serve", "--prot", "1").stderr


def test_a_wrong_setting_is_told_and_help_is_shown_all_the_same(invoke: Invoke) -> None:
    Path("comfykernel.toml").write_text("[http]\nprot = 1\n")
    helped = invoke("--help")
    assert (helped.exit_code, "serve" in helped.stdout, "'prot'" in helped.stderr) == (0, True, True)
    refused = invoke("config")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Did you mean 'port'?" in refused.stderr


def test_version(invoke: Invoke) -> None:
    assert invoke("--version").stdout.startswith("comfykernel, version ")


def test_plugins_shows_states_and_hooks(invoke: Invoke) -> None:
    result = invoke("plugins")
    rows = {line.split()[1]: line.split() for line in result.stdout.splitlines()}
    assert rows["words"][0:5] == ["node", "words", "words-plugin", "1.2", "loaded"]
    assert rows["words"][6:] == ["register_nodes"]
    assert rows["core"][4] == "disabled"
    assert rows["fs"][4] == "loaded"
    assert result.exit_code == 0


def test_plugins_shows_tracebacks_and_exits_with_1(
    invoke: Invoke, install_plugin: Callable[[str, str, str], None]
) -> None:
    install_plugin("bad_plugin", "comfykernel.nodes", "import no_such_module_anywhere\n")
    result = invoke("plugins")
    assert result.exit_code == 1
    assert "node bad (bad-plugin) failed:\nTraceback" in result.stdout
    assert "No module named 'no_such_module_anywhere'" in result.stdout
    told = {info["name"]: info for info in json.loads(invoke("plugins", "--json").stdout)}
    assert told["bad"]["state"] == "failed"
    assert told["words"]["hooks"] == ["register_nodes"]


def test_nodes_lists_by_category_and_describes_one(invoke: Invoke) -> None:
    assert "words\n  Fall\n  Interrupt\n  Say        Say Something\n  Write\n" in invoke("nodes").stdout
    shown = invoke("nodes", "Say").stdout
    assert "Say  (Say Something)" in shown
    assert "\nwords-plugin\n" in shown
    assert "Make a text of words." in shown
    assert "seed: INT; default 0; min 0; max 99" in shown
    assert "one of calm, loud" in shown
    assert "Did you mean 'Say'?" in invoke("nodes", "Sya").stderr
    assert json.loads(invoke("nodes", "Say", "--json").stdout)["Say"]["category"] == "words"


def test_config_tells_value_and_origin(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYKERNEL_JOBS__KEEP_HISTORY", "5")
    Path("comfykernel.toml").write_text("[log]\nlevel = 'warning'\n[plugin.mine]\nkey = 'a'\n")
    told = json.loads(invoke("config", "--json", "--port", "9000").stdout)
    assert told["http.port"] == {"value": 9000, "origin": "flag --port"}
    assert told["jobs.keep_history"] == {"value": 5, "origin": "environment COMFYKERNEL_JOBS__KEEP_HISTORY"}
    assert told["log.level"] == {"value": "warning", "origin": f"file {Path('comfykernel.toml').resolve()}"}
    assert told["plugin.mine"]["value"] == {"key": "a"}
    assert told["http.listen"]["origin"] == "default"
    lines = invoke("config", "--port", "9000").stdout.splitlines()
    assert any(line.split() == ["http.port", "9000", "(flag", "--port)"] for line in lines)


def test_config_as_toml_gives_the_same_settings_again(invoke: Invoke) -> None:
    Path("comfykernel.toml").write_text("[plugin.mine]\nkey = 'a \"b\"'\n[plugin.mine.deep]\nx = [1, 2.5]\n")
    written = invoke("config", "--toml", "--cache-lru", "3").stdout
    assert tomllib.loads(written)["execution"]["cache_size"] == 3
    before = json.loads(invoke("config", "--json", "--cache-lru", "3").stdout)
    Path("comfykernel.toml").write_text(written)
    after = json.loads(invoke("config", "--json").stdout)
    assert {k: v["value"] for k, v in after.items()} == {k: v["value"] for k, v in before.items()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--listen"], {"http.listen": "0.0.0.0,::"}),
        (["--listen", "--port", "1"], {"http.listen": "0.0.0.0,::", "http.port": 1}),
        (["--listen", "10.0.0.1"], {"http.listen": "10.0.0.1"}),
        (["--enable-cors-header"], {"http.cors_origin": "*"}),
        (["--verbose"], {"log.level": "debug"}),
        (["--verbose", "WARNING"], {"log.level": "warning"}),
        (["--force-fp32", "--fp16-vae"], {"execution.precision": "fp32", "execution.vae_precision": "fp16"}),
        (["--cache-lru", "10"], {"execution.cache": "lru", "execution.cache_size": 10}),
        (["--listen", "--allow-remote-without-token"], {"http.allow_remote_without_token": True}),
        (["--cache-ram"], {"execution.cache": "ram", "execution.cache_ram_gb": 0.0}),
        (["--cache-ram", "4.5", "--cpu"],
         {"execution.cache": "ram", "execution.cache_ram_gb": 4.5, "execution.cpu": True}),
        (["--reserve-vram", "0.5"], {"execution.reserve_memory_gb": 0.5}),
        (["--model-memory", "6"], {"execution.model_memory_gb": 6.0}),
        (["--lowvram"], {"execution.model_memory_gb": 2.0}),
        (["--novram"], {"execution.model_memory_gb": 0.001}),
        (["--cuda-device", "1"], {"scheduler.devices": ["cuda:1"]}),
        (["--device", "cpu", "--device", "cuda:0"], {"scheduler.devices": ["cpu", "cuda:0"]}),
        (["--transport", "http,mcp"], {"plugins.transports": ["http", "mcp"]}),
        (["--max-upload-size", "2.5", "--multi-user"], {"http.max_upload_mb": 2.5, "http.multi_user": True}),
        (["--extra-model-paths-config", "/a", "/b"], {"paths.extra_model_paths": ["/a", "/b"]}),
        (["--windows-standalone-build", "--fast", "a", "b", "--highvram", "--port", "1"], {"http.port": 1}),
        (["--fast", "--front-end-version", "x@1", "--preview-method", "latent2rgb"],
         {"execution.preview_method": "latent2rgb"}),
    ],
)  # fmt: skip
def test_flags_of_launchers_set_what_they_set_there(
    invoke: Invoke, arguments: list[str], expected: dict[str, object]
) -> None:
    result = invoke("config", "--json", *arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {key: told[key]["value"] for key in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--force-fp32", "--force-fp16"], "--force-fp32 and --force-fp16 contradict each other"),
        (["--port", "many"], "Wrong value 'many' for http.port"),
        (["--cache-ram", "much"], "Wrong value 'much' for execution.cache_ram_gb"),
        (["--cache-ram", "2", "--cache-none"], "--cache-none and --cache-ram contradict each other"),
        (["--preview-method", "oil"], "Invalid value"),
        (["--config", "absent.toml"], "There is no settings file"),
    ],
)
def test_flags_that_make_no_sense(invoke: Invoke, arguments: list[str], message: str) -> None:
    result = invoke("config", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_every_flag_names_a_setting_and_no_name_is_used_twice() -> None:
    of_plugins = {"devtools": DevtoolsSettings, "compat_comfyui": CompatSettings}
    tables = {f"plugin.{name}.{key}" for name, settings in of_plugins.items() for key in settings.__struct_fields__}
    assert {flag.key for flag in _flags.FLAGS} <= set(setting_keys()) | tables
    names = [*(f.name for f in _flags.FLAGS), *_flags.WITHOUT_EFFECT, *_flags.WITHOUT_EFFECT_WITH_VALUE]
    assert len(names) == len(set(names))


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "rich", "litestar", "asyncio")
    code = f"import sys, comfykernel_cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
