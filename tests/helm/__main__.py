"""
Writes what is made of the chart: `python -m tests.helm`, or `make docs`.
"""

from tests.helm import dashboard, values_table
from tests.helm.chart import CHART

FILES = {CHART / "files" / "dashboard.json": dashboard.text, values_table.README: values_table.text}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(make())
