"""The package as a whole: imports go one way and in no circle, heavy ones wait, every command explains itself and
stands in docs/cli.md.
"""

import ast
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from emotion.cli import emo

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {"converters": set(), "darknet_runner": {"converters"}, "emotion": {"converters", "darknet_runner"}}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")}


def executed(node):
    """Every node below it, without what stands under `if TYPE_CHECKING`, which never runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from executed(child)


def imported(path):
    """The dotted names of what it imports, wherever in the file: modules as they are, else the module of the name."""
    package = module_name(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in executed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (full if (full := f"{module}.{name.name}") in MODULES else module for name in node.names)


def test_every_import_finds_its_module():
    """Those inside functions too, which no other test may reach."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for folder in (*MAY_IMPORT, "scripts", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in MAY_IMPORT and name not in MODULES
    }
    assert not found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package] - {package}
    found = {
        (name, other)
        for name, path in MODULES.items()
        if name.split(".")[0] == package
        for other in imported(path)
        if other.split(".")[0] in forbidden
    }
    assert not found


def test_no_circle_between_modules():
    """Not even one of imports that wait inside functions: whoever reads a module need not know who uses it."""
    left = {
        name: {other for other in imported(path) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    while ends := set(left) - set().union(*left.values()):  # those whom nobody in a circle needs
        for name in ends:
            del left[name]
    assert not left, f"in circles: {sorted(left)}"


def test_cfg_is_data_only():
    assert [path.name for path in (ROOT / "cfg").rglob("*.py")] == ["__init__.py"]
    assert list(imported(ROOT / "cfg" / "__init__.py")) == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom emotion.cli import emo\n"
        "try:\n    emo.main(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', "
        "'pandas', "
        "'matplotlib', "
        "'numpy'} & "
        "set(sys.modules)\n"
        "sys.exit(f'imports "
        "{heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def commands(command=emo, path=("emo",)):
    ctx = click.Context(command, info_name=path[-1], help_option_names=["-h", "--help"])
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from commands(command.get_command(ctx, name), (*path, name))
    else:
        yield path, command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*item, id=" ".join(item[0])) for item in commands()])
def test_every_command_has_help_and_an_example(path, command):
    words = " ".join(path)
    assert command.help and command.help.splitlines()[0].strip()
    examples = {words, " ".join(("emo", *path[1:-1], command.name))}  # a command with two names shows one of them
    assert any(example in command.help for example in examples), f"no example of {words}"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help or parameter.opts[-1] in ("--optimizer",), f"{words} {parameter.opts} has no help"


def test_the_reference_of_commands_is_what_they_say():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    if f"click {version('click')} -->" not in text:
        pytest.skip("docs/cli.md was laid out by another version of click")
    written = runpy.run_path(str(ROOT / "scripts" / "make_cli_reference.py"))["reference"]()
    assert text == written, "run scripts/make_cli_reference.py"


def links():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if page.is_file():
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
                if not target.startswith(("http:", "https:", "mailto:")):
                    yield page, target


def test_every_link_of_the_documents_leads_somewhere():
    assert [f"{page.name}: {target}" for page, target in links() if not (page.parent / target).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900


def test_no_module_has_a_name_that_says_nothing():
    names = {path.stem for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}
