// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// computelocator-simulate: runs a simulated cluster until it is told to stop.

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "processes.hpp"
#include "simulation.hpp"

namespace {

namespace simulate = computelocator::simulate;

constexpr const char* usage =
    "usage: computelocator simulate [options]\n"
    "Runs a simulated Kubernetes cluster on loopback addresses: an API server and its kubelets.\n"
    "  --nodes N              nodes (20)\n"
    "  --pods N               pods a node (110)\n"
    "  --seed N               another cluster of the same shape (1)\n"
    "  --runtime NAME         containerd, crio or docker (containerd)\n"
    "  --cgroup-v1            cgroup version 1 in place of 2\n"
    "  --run                  pages go on with time; without it they stand still\n"
    "  --pace MS              what a step of 10 seconds really takes (10000)\n"
    "  --step SECONDS         how long a page stands with --run (10)\n"
    "  --now                  pages are of the present, not of a fixed day\n"
    "  --process WHAT         NAMESPACE/POD=PID@ADDRESS[,label=value]...: a pod of the first node that\n"
    "                         stands for a process of this machine; may be given again\n"
    "  --self-signed          kubelets with certificates of their own, as kubeadm makes them\n"
    "  --client-certificate   the kubeconfig holds a client certificate in place of a token\n"
    "  --ignore-name          kubelets that do not know ?name[]=\n"
    "  --no-gzip              kubelets that do not compress\n"
    "  --distinct N           only so many pages are made: the other nodes serve those of the first, so that\n"
    "                         thousands of nodes fit in memory; the API server's pods are then not theirs\n"
    "  --fault NODE=KIND      slow, dead, unreachable, silent, cut-off, wrong-certificate,\n"
    "                         forbidden, bad-line, bad-page; NODE counts from 0; may be given again\n"
    "  --deny RESOURCE        nodes, pods, watch, nodes/proxy, nodes/metrics or nodes/stats; may be repeated\n"
    "  --kubeconfig FILE      where to write the kubeconfig; it is removed at the end\n"
    "  --until-eof            stop when standard input closes, too; until then it takes lines:\n"
    "      new-key NODE             that kubelet is started again with another key\n"
    "      replace-pods NODE COUNT  so many of its pods end, as many others begin\n"
    "      replace-node NODE [keep-name]  another machine at the same address\n"
    "      remove-node NODE         until it is replaced\n"
    "      end-watches HOW          in-order, in-half, garbled or forgotten (410)\n"
    "      watches-last MS          those that begin from now on\n"
    "      pause-api, resume-api    its port is closed; open\n"
    "      deny RESOURCE, allow RESOURCE\n"
    "      counts                   what was asked of the API server\n";

volatile sig_atomic_t told_to_stop = 0;

std::size_t number(const std::string& option, const std::string& text, std::size_t least, std::size_t most) {
  std::size_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || value < least || value > most)
    throw std::invalid_argument(option + " " + text + ": a number from " + std::to_string(least) + " to " +
                                std::to_string(most) + " is needed");
  return value;
}

const std::string& resource(const std::string& option, const std::string& text) {
  if (text != "nodes" && text != "pods" && text != "watch" && text != "nodes/proxy" && text != "nodes/metrics" &&
      text != "nodes/stats")
    throw std::invalid_argument(option + " " + text + ": it is nodes, pods, watch, nodes/proxy, nodes/metrics or nodes/stats");
  return text;
}

struct wanted {
  simulate::simulation_options simulation;
  bool until_eof = false;
  bool help = false;
};

wanted read_arguments(const std::vector<std::string>& arguments) {
  wanted made;
  simulate::simulation_options& to = made.simulation;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string option = arguments[i], inlined;
    bool has_inlined = false;
    if (const std::size_t equals = option.find('='); option.rfind("--", 0) == 0 && equals != std::string::npos) {
      inlined = option.substr(equals + 1);
      option.resize(equals);
      has_inlined = true;
    }
    const auto value = [&]() -> std::string {
      if (has_inlined) return inlined;
      if (++i == arguments.size()) throw std::invalid_argument(option + " needs a value");
      return arguments[i];
    };
    if (option == "--nodes") to.cluster.nodes = number(option, value(), 1, 10'000);
    else if (option == "--pods") to.cluster.pods = number(option, value(), 1, 500);
    else if (option == "--seed") to.cluster.seed = number(option, value(), 0, 1'000'000'000);
    else if (option == "--runtime") {
      const std::string name = value();
      if (name == "containerd") to.cluster.runtime = simulate::runtime_style::containerd;
      else if (name == "crio") to.cluster.runtime = simulate::runtime_style::crio;
      else if (name == "docker") to.cluster.runtime = simulate::runtime_style::docker;
      else throw std::invalid_argument("--runtime " + name + ": it is containerd, crio or docker");
    } else if (option == "--cgroup-v1") to.cluster.cgroup_v1 = true;
    else if (option == "--run") to.hold = false;
    else if (option == "--pace") to.pace = std::chrono::milliseconds(number(option, value(), 1, 3'600'000));
    else if (option == "--step") to.cluster.step = to.pace = std::chrono::seconds(number(option, value(), 1, 3600));
    else if (option == "--now")
      to.cluster.base_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
    else if (option == "--process") to.cluster.processes.push_back(simulate::process_named(value()));
    else if (option == "--self-signed") to.certificates = simulate::kubelet_certificates::self_signed;
    else if (option == "--client-certificate") to.client_certificate = true;
    else if (option == "--ignore-name") to.honours_name = false;
    else if (option == "--no-gzip") to.gzip = false;
    else if (option == "--distinct") to.distinct = number(option, value(), 1, 10'000);
    else if (option == "--fault") {
      const std::string text = value();
      const std::size_t equals = text.find('=');
      if (equals == std::string::npos) throw std::invalid_argument("--fault " + text + ": NODE=KIND is needed");
      to.faults[number(option, text.substr(0, equals), 0, 9'999)] = simulate::fault_named(text.substr(equals + 1));
    } else if (option == "--deny") {
      const std::string text = value();
      to.denied.insert(resource("--deny", text));
    } else if (option == "--kubeconfig") to.kubeconfig = value();
    else if (option == "--until-eof") made.until_eof = true;
    else if (option == "--help" || option == "-h") made.help = true;
    else throw std::invalid_argument("there is no option " + option);
  }
  return made;
}

/// A line of standard input; answered by one on standard output.
void obey(simulate::simulation& running, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  const auto word = [&] {
    std::string made;
    words >> made;
    return made;
  };
  const auto count = [&](std::size_t most) { return number(verb, word(), 0, most); };
  constexpr std::size_t nodes = 9'999;
  std::string said;
  try {
    if (verb == "new-key") running.new_key(count(nodes));
    else if (verb == "replace-pods") {
      const std::size_t node = count(nodes);
      running.replace_pods(node, count(500));
    } else if (verb == "replace-node") {
      const std::size_t node = count(nodes);
      running.replace_node(node, word() == "keep-name");
    } else if (verb == "remove-node") running.remove_node(count(nodes));
    else if (verb == "end-watches") running.end_watches(word());
    else if (verb == "watches-last") running.watches_last(std::chrono::milliseconds(count(3'600'000)));
    else if (verb == "pause-api" || verb == "resume-api") running.pause_api(verb == "pause-api");
    else if (verb == "deny" || verb == "allow") running.deny(resource(verb, word()), verb == "deny");
    else if (verb == "counts") {
      const auto of = running.counts();
      said = " node_lists=" + std::to_string(of.node_lists) + " pod_lists=" + std::to_string(of.pod_lists) +
             " watches=" + std::to_string(of.watches) + " kubelet_requests=" + std::to_string(of.kubelet_requests);
    } else throw std::invalid_argument("\"" + line + "\" is no command");
    std::printf("done%s\n", said.c_str());
  } catch (const std::exception& wrong) {
    std::printf("failed: %s\n", wrong.what());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** values) {
  wanted what;
  try {
    what = read_arguments({values + 1, values + count});
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "computelocator simulate: %s\n%s", wrong.what(), usage);
    return 2;
  }
  if (what.help) {
    std::fputs(usage, stdout);
    return 0;
  }
  try {
    if (what.simulation.kubeconfig.empty()) {
      const char* const folder = std::getenv("TMPDIR");
      what.simulation.kubeconfig = std::string(folder != nullptr ? folder : "/tmp") + "/computelocator-simulated-" +
                                   std::to_string(::getpid()) + ".kubeconfig";
    }
    struct sigaction action {};
    action.sa_handler = [](int) { told_to_stop = 1; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
    simulate::simulation running(what.simulation);
    std::printf("%zu nodes of %zu pods at %s\nexport KUBECONFIG=%s\n", what.simulation.cluster.nodes,
                what.simulation.cluster.pods, running.api_url().c_str(), what.simulation.kubeconfig.c_str());
    std::fflush(stdout);
    std::string told;
    while (!told_to_stop) {
      pollfd input{what.until_eof ? 0 : -1, POLLIN, 0};
      if (::poll(&input, 1, 200) <= 0) continue;
      char piece[256];
      const ssize_t got = ::read(0, piece, sizeof piece);
      if (got <= 0) break;
      told.append(piece, static_cast<std::size_t>(got));
      for (std::size_t end; (end = told.find('\n')) != std::string::npos; told.erase(0, end + 1)) obey(running, told.substr(0, end));
      if (told.size() > 1000) told.clear();
    }
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "computelocator simulate: %s\n", wrong.what());
    return 1;
  }
  return 0;
}
