"""The servers that come from wheels, Valkey and PostgreSQL, and the watching of child processes.

`home` is the folder that holds everything, `services.start_services` brings both servers up in it, and
`supervisor.Supervisor` runs any list of children (our workers and Flower too) so that none outlives us.
"""

from pipeline.adapters.embedded.home import Home, RunningServices, open_home
from pipeline.adapters.embedded.records import stop_leftovers
from pipeline.adapters.embedded.services import Services, start_services
from pipeline.adapters.embedded.supervisor import Child, ChildExit, Supervisor

__all__ = [
    "Child",
    "ChildExit",
    "Home",
    "RunningServices",
    "Services",
    "Supervisor",
    "open_home",
    "start_services",
    "stop_leftovers",
]
