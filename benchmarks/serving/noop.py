"""`sentirec serve` with replicas that do nothing; command, Ray, HAProxy and limits are the same.

python -m benchmarks.serving.noop ARGUMENTS OF SERVE
"""

import os
import sys
from pathlib import Path

import serving.server
from jobs.cli import main


class NoopServer(serving.server.Server):
    """A server with replicas of another kind."""

    def _environment(self, folder: Path) -> dict[str, str]:
        environment = super()._environment(folder)
        # What follows imports Ray, which reads the environment on import.
        os.environ.update(environment)
        import serving.deployment
        from benchmarks.serving.noop_deployment import Nothing

        serving.deployment.Recommendations = Nothing
        return environment


if __name__ == "__main__":
    serving.server.Server = NoopServer
    sys.argv.insert(1, "serve")
    main()
