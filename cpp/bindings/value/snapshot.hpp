// Snapshots, which hold the nodes of a pickled graph, and the functions that pickle Values.
//
// A snapshot is flat: arrays of nodes and operands, whose depth has no limit.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>

#include "value/node_state.hpp"

namespace tapegrad::python {

// The pickled form of the nodes of a Snapshot.
struct Records {
  bool operator==(const Records&) const = default;

  std::string nodes, operands;
  std::vector<std::string_view> names;  // names of operations
};
class Snapshot;
Records records(const Snapshot& snapshot);

// The Snapshots that hold a node, by node.
std::unordered_map<Index, std::vector<Snapshot*>>& holders();

// Nodes of one graph, older ones first. The Snapshot owns each of them. Every operand of a node is
// among the nodes or in an older Snapshot. Pickling reads the attributes.
class Snapshot {
 public:
  Snapshot() = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    for (const Index node : nodes) {
      const auto found = holders().find(node);
      if (found != holders().end() && std::erase(found->second, this) > 0 && found->second.empty())
        holders().erase(found);
      tape().release(node);
    }
    drop(std::move(others));
  }

  // Adds a node and takes over the caller's share in it.
  void add(Index node) {
    places.emplace(node, nodes.size());
    nodes.push_back(node);
    holders()[node].push_back(this);
  }
  void add_other(Index node, const pybind11::object& snapshot, std::size_t place) {
    if (elsewhere.emplace(node, others.size()).second) others.emplace_back(snapshot, place);
  }
  bool knows(Index node) const { return places.contains(node) || elsewhere.contains(node); }

  // True if every node still has the recorded numbers.
  bool is_true() {
    if (taken_at == changes) return true;
    if (written != records(*this)) return false;
    taken_at = changes;
    return true;
  }

  std::vector<Index> nodes;
  std::unordered_map<Index, std::size_t> places;
  std::vector<std::pair<pybind11::object, std::size_t>> others;  // Snapshots, and places in them
  std::unordered_map<Index, std::size_t> elsewhere;              // by node, an index into `others`
  std::uint64_t taken_at = changes;
  Records written;
  std::optional<Restoring> restoring;  // from unpack() until the Values exist

 private:
  // Releases references to Snapshots. Each may own the last reference to the next: a loop releases
  // them one after the other, without recursion.
  static void drop(std::vector<std::pair<pybind11::object, std::size_t>> objects) noexcept {
    static std::vector<std::vector<std::pair<pybind11::object, std::size_t>>> waiting;
    static bool dropping = false;
    if (objects.empty()) return;
    waiting.push_back(std::move(objects));
    if (std::exchange(dropping, true)) return;
    while (!waiting.empty()) {
      const auto next = std::move(waiting.back());
      waiting.pop_back();
    }
    dropping = false;
  }
};

// The nodes that `root` reaches, older ones first. The search leaves out a node, other than the
// root, for which `known` returns true, and all nodes reachable only through such nodes.
template <class Known>
std::vector<Index> reachable(Index root, Known known) {
  const auto older = [](Index a, Index b) {
    return tape().pool().order(a) < tape().pool().order(b);
  };
  std::vector<Index> found;
  std::unordered_map<Index, bool> seen{{root, true}};
  std::vector<Index> waiting{root};
  while (!waiting.empty()) {
    const Index node = waiting.back();
    waiting.pop_back();
    if (node != root && known(node)) continue;
    found.push_back(node);
    tape().each_operand(node, [&](Index operand, double) {
      if (seen.emplace(operand, true).second) waiting.push_back(operand);
    });
  }
  std::sort(found.begin(), found.end(), older);
  // Leaves have no order of creation. They come first, so that every node follows its operands.
  std::stable_partition(found.begin(), found.end(),
                        [](Index node) { return tape().cell(node).op == Op::leaf; });
  return found;
}

extern "C" {
PyObject* value_reduce(PyObject* self, PyObject*);
PyObject* value_reduce_ex(PyObject* self, PyObject* protocol);
PyObject* value_setstate(PyObject* self, PyObject* state);
}

}  // namespace tapegrad::python
