"""``python -m wsgw``."""

import sys


def main() -> int:
    """Run the command line. Without the packages of wsgw, say how to install them."""
    try:
        from wsgw import cli
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wsgw"):
            raise
        advice = "run scripts/demo.sh or scripts/deploy.sh, which install all packages, or pip install ."
        print(f"the package {error.name} is missing for {sys.executable}: {advice}", file=sys.stderr)
        return 1
    return cli.main()


sys.exit(main())
