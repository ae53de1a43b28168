# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""vmagent and a Prometheus server on the same targets: what they get, by their own metrics, and what it costs.

Both get the list of targets in their configuration, verify certificates, send the token, keep connections, take
gzip, and keep the wanted metrics by ``metric_relabel_configs``. They keep times of their own in place of those
of the pages (``honor_timestamps: false``): the pages stand still, and a sample of the same time would be dropped.
vmagent drops what it has kept before it is written anywhere; a Prometheus server writes it to its storage, which
it does not leave out.
"""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pages

sys.path.insert(0, str(pages.ROOT / "tests" / "python"))
from services import free_port, wait_for  # noqa: E402

PEERS = pages.ROOT / "build" / "peers"
PASSES = 3


def cpu_and_peak(pid):
    """Give the CPU seconds that a process has used, and the most memory that it has held."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status") as file:
        most = int(file.read().split("VmHWM:")[1].split()[0]) << 10
    return (int(fields[11]) + int(fields[12])) / 100, most


class Peer:
    """A program of build/peers that scrapes the nodes of a simulated cluster every few seconds."""

    NAME = PROGRAM = ""

    def __init__(self, folder, simulated, metrics, interval, by_name=False):
        self.folder = folder / self.PROGRAM
        self.folder.mkdir(exist_ok=True)
        (self.folder / "ca.pem").write_text(simulated.ca)
        job = {
            "job_name": "cadvisor",
            "scheme": "https",
            "metrics_path": "/metrics/cadvisor",
            "honor_timestamps": False,
            "tls_config": {"ca_file": str(self.folder / "ca.pem")},
            "authorization": {"credentials": simulated.token},
            "static_configs": [{"targets": [f"{address}:{port}" for _, address, port in simulated.nodes]}],
        }
        if metrics:
            job["metric_relabel_configs"] = [
                {"source_labels": ["__name__"], "regex": "|".join(metrics), "action": "keep"}
            ]
        if by_name:
            job["params"] = {"name[]": list(metrics)}
        # JSON is YAML, too.
        self.config = self.folder / "config.yml"
        self.config.write_text(json.dumps({
            "global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{interval}s"}, "scrape_configs": [job],
        }))  # fmt: skip
        self.url = f"http://127.0.0.1:{free_port()}"
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen([PEERS / self.PROGRAM, *self.arguments()], stdout=log, stderr=log, cwd=self.folder)

    @classmethod
    def built(cls):
        return (PEERS / cls.PROGRAM).exists()

    def metrics(self):
        """Give its own metrics that have no labels, and those with labels summed over them."""
        found = {}
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as said:
            for line in said.read().decode().splitlines():
                if line and line[0] != "#":
                    name, _, rest = line.partition("{")
                    value = (rest.rpartition("}")[2] if rest else line.partition(" ")[2]).split()[0]
                    name = name.split()[0]
                    found[name] = found.get(name, 0.0) + float(value)
        return found

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])
        try:
            return bool(self.metrics())
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    @classmethod
    def measured(cls, folder, simulated, metrics, samples, by_name=False):
        """Give CPU seconds of a pass, the most memory, and the seconds of a scrape of one target."""
        nodes = len(simulated.nodes)
        interval = max(1, nodes // 5)
        peer = cls(folder, simulated, metrics, interval, by_name)
        try:
            wait_for(peer.answers)
            # In the first interval each target is met, in the second memory is as it stays.
            wait_for(lambda: peer.got()[0] >= 2 * nodes, seconds=60 + 10 * interval)
            before, used = peer.got(), cpu_and_peak(peer.process.pid)[0]
            time.sleep(PASSES * interval)
            used, most = cpu_and_peak(peer.process.pid)[0] - used, cpu_and_peak(peer.process.pid)[1]
            scrapes, kept, took = (b - a for a, b in zip(before, peer.got(), strict=True))
        finally:
            peer.close()
        # It keeps up, and each scrape has as many samples as the nodes have on average, but for those that were
        # under way at the ends.
        assert scrapes > PASSES * nodes / 2, (cls.NAME, scrapes)
        assert abs(kept / samples * nodes - scrapes) < 2 + 0.01 * scrapes, (cls.NAME, kept, scrapes, samples)
        return used / scrapes * nodes, most, took / scrapes


class VmAgent(Peer):
    NAME, PROGRAM = "vmagent", "vmagent"
    ABOUT_A_SCRAPE = 7  # up, scrape_duration_seconds and so on

    def arguments(self):
        (self.folder / "drop.yml").write_text(json.dumps([{"action": "drop", "source_labels": ["__name__"], "regex": ".*"}]))
        return [
            f"-promscrape.config={self.config}", f"-httpListenAddr={self.url.removeprefix('http://')}",
            "-remoteWrite.url=http://127.0.0.1:1/", f"-remoteWrite.urlRelabelConfig={self.folder}/drop.yml",
            f"-remoteWrite.tmpDataPath={self.folder}/data", "-promscrape.maxScrapeSize=64MB",
        ]  # fmt: skip

    def got(self):
        """Give scrapes, samples that were kept, and seconds of scraping so far."""
        said = self.metrics()
        scrapes, rows, took = (
            said.get(name, 0.0)
            for name in (
                "vm_promscrape_scraped_samples_count",
                "vmagent_remotewrite_global_rows_pushed_before_relabel_total",
                "vm_promscrape_scrape_duration_seconds_sum",
            )
        )
        return scrapes, rows - self.ABOUT_A_SCRAPE * scrapes, took


class PrometheusServer(Peer):
    NAME, PROGRAM = "Prometheus", "prometheus"

    def arguments(self):
        return [
            f"--config.file={self.config}", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]  # fmt: skip

    def ask(self, text):
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': text})}", timeout=60) as said:
            found = json.load(said)["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def got(self):
        return tuple(
            self.ask(f"sum({of}_over_time({name}[1h]))")
            for of, name in (("count", "up"), ("sum", "scrape_samples_post_metric_relabeling"), ("sum", "scrape_duration_seconds"))
        )
