import sys

from setuptools import Extension, setup

try:
    import latchwork
except ImportError:
    sys.exit("latchwork is not installed here. With it: pip install --no-build-isolation .")

setup(
    ext_modules=[
        Extension(
            "wordindex",
            ["wordindex.c", *latchwork.get_sources()],
            include_dirs=[latchwork.get_include()],
            define_macros=[("LW_PYTHON", "1")],
        )
    ],
    # The sources of latchwork may change under an older build of this folder.
    options={"build_ext": {"force": True}},
)
