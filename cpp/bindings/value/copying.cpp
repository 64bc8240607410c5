#include "value/copying.hpp"

#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/references.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

// The memo of one call of copy.deepcopy() for nodes: pairs of a node and its copy, both owned. The
// call's own memo, which knows objects by id(), holds this object, since many nodes have no Python
// object.
class NodeCopies {
 public:
  NodeCopies() = default;
  NodeCopies(const NodeCopies&) = delete;
  NodeCopies& operator=(const NodeCopies&) = delete;
  ~NodeCopies() {
    for (const auto& [node, copy] : copy_of_) {
      tape().release(node);
      tape().release(copy);
    }
  }

  bool has(Index node) const { return copy_of_.contains(node); }
  Index at(Index node) const { return copy_of_.at(node); }
  void add(Index node, Index copy) {
    if (!copy_of_.emplace(node, copy).second) return;
    tape().own(node);
    tape().own(copy);
  }

  static NodeCopies& in(const py::dict& memo) {
    constexpr const char* name = "tapegrad nodes";
    if (!memo.contains(name))
      memo[name] = py::capsule(new NodeCopies, name, [](PyObject* capsule) {
        delete static_cast<NodeCopies*>(PyCapsule_GetPointer(capsule, name));
      });
    void* const found = PyCapsule_GetPointer(py::object(memo[name]).ptr(), name);
    if (found == nullptr) throw py::error_already_set();
    return *static_cast<NodeCopies*>(found);
  }

 private:
  std::unordered_map<Index, Index> copy_of_;
};

// A copy of the node whose operands are the copies of the node's operands. The caller owns it.
Index copied_with(Index node, const NodeCopies& copy_of) {
  const Op code = tape().cell(node).op;
  if (code == Op::leaf) return tape().copy(node);
  std::vector<Operand> list = ordered_operands(node);
  for (Operand& operand : list)
    if (operand.node != no_node) operand.node = copy_of.at(operand.node);
  const Index copy = tape().restore(code, tape().cell(node).primal, std::move(list));
  tape().link(copy).adjoint = tape().link(node).adjoint;
  return copy;
}

// Copies a Value whose class has its own __reduce_ex__(), in the way of the copy module. The copy
// is shallow if `memo` is None.
py::object reconstructed(PyObject* self, const py::object& memo) {
  const auto original = py::reinterpret_borrow<py::object>(self);
  const py::object deepcopy = py::module_::import("copy").attr("deepcopy");
  const auto copied = [&](const py::object& part) {
    return memo.is_none() ? part : deepcopy(part, memo);
  };
  const py::object given = original.attr("__reduce_ex__")(4);
  if (py::isinstance<py::str>(given)) return original;
  if (!PyTuple_Check(given.ptr()) || py::len(given) < 2 || py::len(given) > 6)
    throw py::type_error("__reduce_ex__() must return a str, or a tuple of 2 to 6 elements");
  const auto parts = py::reinterpret_borrow<py::tuple>(given);
  const auto part = [&](std::size_t k) {
    return k < parts.size() ? py::object(parts[k]) : py::object(py::none());
  };
  py::list arguments;
  for (const py::handle& argument : part(1))
    arguments.append(copied(py::reinterpret_borrow<py::object>(argument)));
  const py::object made = part(0)(*arguments);
  if (!memo.is_none()) {
    const auto key = [](const py::object& object) {
      return py::int_(reinterpret_cast<std::uintptr_t>(object.ptr()));
    };
    memo[key(original)] = made;
    memo.attr("setdefault")(key(memo), py::list()).attr("append")(original);
  }
  if (const py::object state = part(2); !state.is_none()) {
    const py::object setter = part(5);
    if (!setter.is_none()) setter(made, copied(state));
    else made.attr("__setstate__")(copied(state));
  }
  if (const py::object items = part(3); !items.is_none())
    for (const py::handle& item : items)
      made.attr("append")(copied(py::reinterpret_borrow<py::object>(item)));
  if (const py::object items = part(4); !items.is_none())
    for (const py::handle& item : items) {
      const py::tuple pair(py::reinterpret_borrow<py::object>(item));
      made[copied(pair[0])] = copied(pair[1]);
    }
  return made;
}

// A deep copy of a Value's state. It copies dicts itself: the copy module would make an iterator
// over their items, and CPython 3.11 may crash if there is no memory for that.
py::object deep_copied_state(const py::object& state, const py::dict& memo,
                             const py::object& deepcopy) {
  if (PyTuple_CheckExact(state.ptr()) && PyTuple_GET_SIZE(state.ptr()) == 2) {
    const py::tuple both(state);
    return py::make_tuple(deep_copied_state(both[0], memo, deepcopy),
                          deep_copied_state(both[1], memo, deepcopy));
  }
  if (!PyDict_CheckExact(state.ptr())) return deepcopy(state, memo);
  const auto key = py::int_(reinterpret_cast<std::uintptr_t>(state.ptr()));
  if (memo.contains(key)) return memo[key];
  py::dict copy;
  memo[key] = copy;
  memo.attr("setdefault")(py::int_(reinterpret_cast<std::uintptr_t>(memo.ptr())), py::list())
      .attr("append")(state);
  for (const auto& [name, value] : owned<py::dict>(PyDict_Copy(state.ptr())))
    copy[deepcopy(name, memo)] = deepcopy(value, memo);
  return copy;
}

// Copies the nodes, given older ones first, with their attributes. All nodes are copied before any
// attribute, since an attribute may refer back to a node. For a Value for which `made_by_class`
// returns true, its class makes the copy.
template <class MadeByClass>
void copy_nodes(const std::vector<Index>& nodes, const py::dict& memo, MadeByClass made_by_class) {
  NodeCopies& copies = NodeCopies::in(memo);
  const auto key = [](const py::object& object) {
    return py::int_(reinterpret_cast<std::uintptr_t>(object.ptr()));
  };
  const py::object deepcopy = py::module_::import("copy").attr("deepcopy");
  std::optional<Restoring> restoring(std::in_place);
  std::vector<std::pair<py::object, Index>> originals;
  for (const Index node : nodes) {
    const py::object original = object_of(node);
    py::object known;
    if (original && memo.contains(key(original))) known = memo[key(original)];
    else if (original && made_by_class(original)) known = deepcopy(original, memo);
    if (copies.has(node)) continue;
    if (known && is_value(known.ptr())) {
      copies.add(node, node_of(known.ptr()));
      continue;
    }
    const Index copy = copied_with(node, copies);
    copies.add(node, copy);
    tape().release(copy);
    originals.emplace_back(original, node);
    // An operand copied earlier may own objects by now, and these may refer back to the copy.
    if (!let_inherit(copy)) throw py::error_already_set();
  }
  const auto plain = py::reinterpret_borrow<py::object>(plain_type());
  std::vector<std::pair<py::object, py::object>> pending;
  for (const auto& [original, node] : originals) {
    const py::object given = node_state(node);
    if (!original && given.is_none()) continue;
    py::object type = given.is_none() ? plain : five_parts(given)[4];
    const py::object value = value_of_type(copies.at(node), type.is_none() ? plain : type);
    if (original) {
      memo[key(original)] = value;
      // As in the copy module, the memo keeps the original alive, since it knows it by its address.
      memo.attr("setdefault")(key(memo), py::list()).attr("append")(original);
    }
    pending.emplace_back(value, given);
  }
  restoring.reset();
  for (const auto& [value, given] : pending) {
    if (given.is_none()) continue;
    const py::tuple all = five_parts(given);
    set_node_state(value, py::make_tuple(all[0], all[1], deepcopy(all[2], memo),
                                         deep_copied_state(all[3], memo, deepcopy), all[4]));
  }
}

bool has_own_copy(const py::object& value) {
  const py::object type = py::type::of(value);
  return has_own_reduction(type) || overrides(type, plain_type(), "__deepcopy__");
}

py::object deep_copy(PyObject* self, const py::dict& memo) {
  const Index root = node_of(self);
  NodeCopies& copies = NodeCopies::in(memo);
  if (!copies.has(root)) {
    const std::vector<Index> nodes = reachable(root, [&](Index node) { return copies.has(node); });
    copy_nodes(nodes, memo,
               [&](const py::object& value) { return value.ptr() != self && has_own_copy(value); });
  }
  return owned(handle_of(copies.at(root)));
}

}  // namespace

extern "C" PyObject* value_copy(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return new_reference([&] {
    if (has_own_reduction(type_of(self))) return reconstructed(self, py::none());
    const py::object given = node_state(node_of(self));
    const py::object copy = owned(adopt_as(Py_TYPE(self), tape().copy(node_of(self))));
    set_node_state(copy, given);
    return copy;
  });
}

extern "C" PyObject* value_deepcopy(PyObject* self, PyObject* given) {
  if (!is_set(self)) return nullptr;
  return new_reference([&]() -> py::object {
    if (!PyDict_Check(given)) throw py::type_error("memo must be a dict");
    const auto memo = py::reinterpret_borrow<py::dict>(given);
    if (!has_own_reduction(type_of(self))) return deep_copy(self, memo);
    const Index node = node_of(self);
    const py::object made = reconstructed(self, memo);
    if (is_value(made.ptr())) NodeCopies::in(memo).add(node, node_of(made.ptr()));
    return made;
  });
}

std::unique_ptr<Snapshot> copied_snapshot(const Snapshot& snapshot, const py::dict& memo) {
  const NodeCopies& copies = NodeCopies::in(memo);
  const py::object deepcopy = py::module_::import("copy").attr("deepcopy");
  for (const auto& [other, place] : snapshot.others) deepcopy(other, memo);
  copy_nodes(snapshot.nodes, memo, [](const py::object& value) {
    return tape().cell(node_of(value.ptr())).op == Op::leaf && has_own_copy(value);
  });
  auto copy = std::make_unique<Snapshot>();
  for (const Index node : snapshot.nodes) {
    tape().own(copies.at(node));
    copy->add(copies.at(node));
  }
  for (const auto& [node, k] : snapshot.elsewhere) {
    const auto& [other, place] = snapshot.others[k];
    copy->add_other(copies.at(node), deepcopy(other, memo), place);
  }
  copy->written = records(*copy);
  return copy;
}

}  // namespace tapegrad::python
