// Copying and pickling of graphs as flat arrays, whose depth has no limit.
//
// Values of one graph must share that graph again after pickling. A node with operands is therefore
// pickled as a place in a Snapshot, an object in the pickler's memo. A later Value of the same
// graph finds that Snapshot alive and refers to it. A leaf is pickled by itself.
#include "value/snapshot.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "common/allocation.hpp"
#include "common/references.hpp"
#include "module.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

constexpr int format_version = 1;
constexpr std::uint16_t leaf_code = 0xffff, open_code = 0xfffe;
constexpr std::int64_t constant_place = -1;  // places below -1 count foreign nodes
constexpr std::int64_t unknown_place = std::numeric_limits<std::int64_t>::min();  // never pickled

// A node as it is pickled. Its operands follow those of the nodes before it.
struct NodeRecord {
  double primal, adjoint;
  std::uint32_t operands;
  std::uint16_t code, flags;
};
// An operand as it is pickled: its partial, or the number of a constant, and its place.
struct OperandRecord {
  double partial;
  std::int64_t place;
};

class Snapshot;
// The Snapshots that hold a node, by node.
std::unordered_map<Index, std::vector<Snapshot*>>& holders() {
  static auto& map = *new std::unordered_map<Index, std::vector<Snapshot*>>;
  return map;
}

// The pickled form of the nodes of a Snapshot.
struct Records {
  bool operator==(const Records&) const = default;

  std::string nodes, operands;
  std::vector<std::string_view> names;  // names of operations
};
Records records(const Snapshot& snapshot);

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
  void add_other(Index node, const py::object& snapshot, std::size_t place) {
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
  std::vector<std::pair<py::object, std::size_t>> others;  // Snapshots, and places in them
  std::unordered_map<Index, std::size_t> elsewhere;        // by node, an index into `others`
  std::uint64_t taken_at = changes;
  Records written;
  std::optional<Restoring> restoring;  // from unpack() until the Values exist

 private:
  // Releases references to Snapshots. Each may own the last reference to the next: a loop releases
  // them one after the other, without recursion.
  static void drop(std::vector<std::pair<py::object, std::size_t>> objects) noexcept {
    static std::vector<std::vector<std::pair<py::object, std::size_t>>> waiting;
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

py::object snapshot_object(Snapshot* snapshot) {
  return py::cast(snapshot, py::return_value_policy::reference);
}

// A Snapshot that holds the node; null if there is none. Pickling a node again refers to this
// Snapshot, so that the copies share what the originals share.
Snapshot* snapshot_of(Index node) {
  const auto found = holders().find(node);
  if (found == holders().end()) return nullptr;
  for (Snapshot* const snapshot : found->second)
    if (snapshot->is_true()) return snapshot;
  return nullptr;
}

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

py::object text_or_none(const std::string* text) {
  return text != nullptr && !text->empty() ? py::object(py::str(*text)) : py::object(py::none());
}

PyObject* plain_type() { return reinterpret_cast<PyObject*>(value_type); }
py::object type_of(PyObject* object) {
  return py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(Py_TYPE(object)));
}

// True if the type's attribute of this name is not that of `base`.
bool overrides(const py::object& type, PyObject* base, const char* name) {
  if (type.ptr() == base) return false;
  return !find_attribute(type, name).is(find_attribute(base, name));
}
bool has_own_state(const py::object& type) {
  return overrides(type, reinterpret_cast<PyObject*>(&PyBaseObject_Type), "__getstate__") ||
         overrides(type, plain_type(), "__setstate__");
}
bool has_own_reduction(const py::object& type) {
  return overrides(type, plain_type(), "__reduce_ex__") ||
         overrides(type, plain_type(), "__reduce__");
}

// The node's Value, a new reference; null if it has none. Wakes a sleeping handle.
py::object object_of(Index node) {
  PyObject* const living = reinterpret_cast<PyObject*>(find_handle(node));
  return py::reinterpret_steal<py::object>(living != nullptr ? Py_NewRef(living) : wake(node));
}

// The result of object.__getstate__(): the attributes, a pair of attributes and slots, or None.
py::object default_state(const py::object& value) {
  PyObject* const dict = attributes_of(as_handle(value.ptr()));
  py::object attributes = dict != nullptr ? py::reinterpret_borrow<py::object>(dict) : py::none();
  if (Py_TYPE(value.ptr())->tp_basicsize == static_cast<Py_ssize_t>(sizeof(Handle)))
    return attributes;
  py::dict slots;
  const py::object names = py::module_::import("copyreg").attr("_slotnames")(py::type::of(value));
  for (const py::handle& name : names) {
    PyObject* const found = PyObject_GenericGetAttr(value.ptr(), name.ptr());
    if (found != nullptr) slots[name] = py::reinterpret_steal<py::object>(found);
    else if (PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_Clear();
    else throw py::error_already_set();
  }
  return slots.empty() ? attributes : py::make_tuple(attributes, slots);
}

py::object state_of(const py::object& value) {
  const py::object type = py::type::of(value);
  if (overrides(type, reinterpret_cast<PyObject*>(&PyBaseObject_Type), "__getstate__"))
    return value.attr("__getstate__")();
  return default_state(value);
}

// A tuple (label, symbol, backward function, state, subclass), or None for a node without any of
// these.
py::object belongings(Index node) {
  const py::object value = object_of(node);
  const NodeExtra* extra = tape().find_extra(node);
  py::object type = py::none(), state = py::none();
  if (value) {
    if (Py_TYPE(value.ptr()) != value_type) type = type_of(value.ptr());
    state = state_of(value);
    extra = tape().find_extra(node);  // state_of() may have run any code
  } else if (extra != nullptr && extra->attachment) {
    PyObject* const dict = static_cast<const Attachment*>(extra->attachment.get())->dict;
    if (dict != nullptr) state = py::reinterpret_borrow<py::object>(dict);
  }
  const PythonBackward* backward = python_backward(node);
  PyObject* callable = backward != nullptr ? backward->callable : nullptr;
  if (extra == nullptr && callable == nullptr && state.is_none() && type.is_none())
    return py::none();
  const py::object function =
      callable != nullptr ? py::reinterpret_borrow<py::object>(callable) : py::none();
  const py::object label = text_or_none(extra != nullptr ? &extra->label : nullptr);
  const py::object symbol = text_or_none(extra != nullptr ? extra->symbol.get() : nullptr);
  return py::make_tuple(label, symbol, function, state, type);
}

py::tuple five(const py::object& given) {
  if (!PyTuple_Check(given.ptr()) || PyTuple_GET_SIZE(given.ptr()) != 5)
    throw py::type_error("a node's state must be a tuple of 5 elements, or None");
  return py::reinterpret_borrow<py::tuple>(given);
}

// Restores a state that default_state() returned, as object's own unpickling does.
void set_default_state(const py::object& value, const py::object& state) {
  if (state.is_none()) return;
  py::object attributes = state, slots = py::none();
  if (PyTuple_Check(state.ptr()) && PyTuple_GET_SIZE(state.ptr()) == 2) {
    attributes = state[py::int_(0)];
    slots = state[py::int_(1)];
  }
  for (const py::object& part : {attributes, slots})
    if (!part.is_none() && !PyDict_Check(part.ptr()))
      throw py::type_error(
          "the state of a Value must be a dict, or a pair of attributes and slots");
  if (!attributes.is_none() && !add_attributes(value.ptr(), attributes.ptr()))
    throw py::error_already_set();
  if (slots.is_none()) return;
  for (const auto& [name, given] : py::reinterpret_borrow<py::dict>(slots))
    if (value_setattro(value.ptr(), name.ptr(), given.ptr()) < 0) throw py::error_already_set();
}

// Gives a Value's node the result of belongings(). Label, symbol and backward function are set
// through Value's own descriptors, since a subclass may have attributes of the same names.
void set_belongings(const py::object& value, const py::object& given) {
  if (given.is_none()) return;
  const py::tuple all = five(given);
  constexpr const char* names[] = {"label", "_op", "_backward"};
  for (std::size_t k = 0; k < 3; ++k)
    if (const py::object one = all[k]; !one.is_none())
      py::handle(plain_type()).attr(names[k]).attr("__set__")(value, one);
  const py::object state = all[3];
  if (state.is_none()) return;
  if (overrides(py::type::of(value), plain_type(), "__setstate__"))
    value.attr("__setstate__")(state);
  else set_default_state(value, state);
}

// A node's operands in the order of the operation, as restore() takes them.
std::vector<Operand> ordered_operands(Index node) {
  std::vector<Operand> list;
  tape().append_operands(node, list);
  if (tape().cell(node).flags & flag::constant_left && !tape().has_list(node))
    std::swap(list[0], list[1]);
  return list;
}

Records records(const Snapshot& snapshot) {
  Records all;
  std::unordered_map<std::uint16_t, std::uint16_t> codes;
  const auto code_of = [&](Op op) {
    if (op == Op::leaf) return leaf_code;
    if (op == Op::custom) return open_code;
    const auto [at, added] =
        codes.emplace(static_cast<std::uint16_t>(op), static_cast<std::uint16_t>(codes.size()));
    if (added) all.names.push_back(description(op)->name);
    return at->second;
  };
  for (const Index node : snapshot.nodes) {
    const Cell& cell = tape().cell(node);
    const std::vector<Operand> list =
        cell.op == Op::leaf ? std::vector<Operand>{} : ordered_operands(node);
    const NodeRecord record{
        cell.primal, tape().link(node).adjoint, static_cast<std::uint32_t>(list.size()),
        code_of(cell.op),
        static_cast<std::uint16_t>(cell.flags & (flag::constant_left | flag::constant_right))};
    all.nodes.append(reinterpret_cast<const char*>(&record), sizeof record);
    for (const Operand& operand : list) {
      OperandRecord written{operand.partial, constant_place};
      if (operand.node != no_node) {
        const auto place = snapshot.places.find(operand.node);
        const auto other = snapshot.elsewhere.find(operand.node);
        if (place != snapshot.places.end())
          written.place = static_cast<std::int64_t>(place->second);
        else if (other != snapshot.elsewhere.end())
          written.place = -2 - static_cast<std::int64_t>(other->second);
        else written.place = unknown_place;  // a constant that has become a node
      }
      all.operands.append(reinterpret_cast<const char*>(&written), sizeof written);
    }
  }
  return all;
}

py::tuple pack(const Snapshot& snapshot) {
  py::list names, leaves, foreign;
  for (const std::string_view name : snapshot.written.names) names.append(std::string(name));
  for (std::size_t k = 0; k < snapshot.nodes.size(); ++k)
    if (tape().cell(snapshot.nodes[k]).op == Op::leaf)
      if (const py::object value = object_of(snapshot.nodes[k]))
        leaves.append(py::make_tuple(k, value));
  for (const auto& [other, place] : snapshot.others) foreign.append(py::make_tuple(other, place));
  return py::make_tuple(
      format_version, std::endian::native == std::endian::little ? "little" : "big",
      py::tuple(names), py::bytes(snapshot.written.nodes), py::bytes(snapshot.written.operands),
      py::tuple(leaves), py::tuple(foreign));
}

[[noreturn]] void damaged(const char* why) {
  throw py::value_error(std::string("this pickled graph cannot be read: ") + why);
}

Op code_named(const std::string& name) {
  for (std::size_t k = 0; k < ops::count; ++k)
    if (ops::descriptions[k].name == name) return static_cast<Op>(k);
  damaged(("it has an unknown operation '" + name + "'").c_str());
}

std::unique_ptr<Snapshot> unpack(int version, const std::string& order,
                                 const std::vector<std::string>& names, const py::bytes& node_bytes,
                                 const py::bytes& operand_bytes,
                                 const std::vector<std::pair<std::size_t, py::object>>& leaves,
                                 const std::vector<std::pair<Snapshot*, std::size_t>>& foreign) {
  if (version != format_version) damaged("its format version is not supported");
  if (order != (std::endian::native == std::endian::little ? "little" : "big"))
    damaged("it was written on a machine of another byte order");
  const std::string_view nodes = node_bytes, operands = operand_bytes;
  if (nodes.size() % sizeof(NodeRecord) != 0 || operands.size() % sizeof(OperandRecord) != 0)
    damaged("its length is wrong");
  std::unordered_map<std::size_t, Index> given;
  for (const auto& [place, value] : leaves) {
    if (!is_value(value.ptr())) throw py::type_error("a leaf must be a Value");
    given.emplace(place, node_of(value.ptr()));
  }
  auto snapshot = std::make_unique<Snapshot>();
  snapshot->restoring.emplace();
  const std::size_t count = nodes.size() / sizeof(NodeRecord);
  const std::size_t operand_count = operands.size() / sizeof(OperandRecord);
  snapshot->nodes.reserve(count);
  for (std::size_t k = 0, at = 0; k < count; ++k) {
    NodeRecord record;
    std::memcpy(&record, nodes.data() + k * sizeof record, sizeof record);
    if (const auto leaf = given.find(k); leaf != given.end()) {
      tape().own(leaf->second);
      snapshot->add(leaf->second);
    } else if (record.code == leaf_code) {
      snapshot->add(tape().leaf(record.primal));
    } else {
      const Op code = record.code == open_code ? Op::custom
                      : record.code < names.size()
                          ? code_named(names[record.code])
                          : (damaged("an operation is unknown"), Op::custom);
      if (record.operands > operand_count - at) damaged("operands are missing");
      std::vector<Operand> list;
      for (std::uint32_t j = 0; j < record.operands; ++j, ++at) {
        OperandRecord operand;
        std::memcpy(&operand, operands.data() + at * sizeof operand, sizeof operand);
        Index node = no_node;
        if (operand.place >= 0) {
          if (static_cast<std::size_t>(operand.place) >= k)
            damaged("an operand comes after its user");
          node = snapshot->nodes[static_cast<std::size_t>(operand.place)];
        } else if (operand.place != constant_place) {
          const auto which = static_cast<std::size_t>(-2 - operand.place);
          if (which >= foreign.size() ||
              foreign[which].second >= foreign[which].first->nodes.size())
            damaged("a part of it is missing");
          node = foreign[which].first->nodes[foreign[which].second];
        }
        list.push_back({node, operand.partial});
      }
      const Description* what = description(code);
      const std::size_t wanted = what == nullptr || what->arity == variadic
                                     ? list.size()
                                     : what->arity + (what->constant_last ? 1 : 0);
      if (list.empty() || list.size() != wanted)
        damaged("an operation has a wrong number of operands");
      snapshot->add(tape().restore(code, record.primal, std::move(list)));
      if (!let_inherit(snapshot->nodes[k])) throw py::error_already_set();
    }
    if (!given.contains(k)) tape().link(snapshot->nodes[k]).adjoint = record.adjoint;
  }
  for (const auto& [other, place] : foreign) {
    if (place >= other->nodes.size()) damaged("a part of it is missing");
    snapshot->add_other(other->nodes[place], snapshot_object(other), place);
  }
  snapshot->written = records(*snapshot);
  return snapshot;
}

// The node's Value. Creates one of the given type if the node has none.
py::object value_of_type(Index node, const py::object& type) {
  auto* wanted = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (!PyType_Check(type.ptr()) || !PyType_IsSubtype(wanted, value_type))
    throw py::type_error("a Value's type must be Value or a subclass");
  return owned(handle_of(node, wanted));
}

py::object value_at(const Snapshot& snapshot, std::size_t place, const py::object& type) {
  if (place >= snapshot.nodes.size()) throw py::index_error("no such node in this snapshot");
  return value_of_type(snapshot.nodes[place], type);
}

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

// Creates an unpickled leaf. It calls neither __new__ nor __init__.
py::object restored_leaf(const py::object& type, double data, double grad) {
  auto* wanted = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (!PyType_Check(type.ptr()) || !PyType_IsSubtype(wanted, value_type))
    throw py::type_error("a leaf's type must be Value or a subclass");
  const py::object value = owned(adopt_as(wanted, tape().leaf(data)));
  tape().link(node_of(value.ptr())).adjoint = grad;
  return value;
}

py::dict all_belongings(const Snapshot& snapshot) {
  py::dict all;
  for (std::size_t k = 0; k < snapshot.nodes.size(); ++k) {
    const Index node = snapshot.nodes[k];
    if (tape().cell(node).op == Op::leaf && object_of(node)) continue;
    if (py::object one = belongings(node); !one.is_none()) all[py::int_(k)] = one;
  }
  return all;
}

// Creates the Values of all nodes with their classes before it restores any state, since a state
// may refer to other Values.
void restore_all_belongings(Snapshot& snapshot, const py::dict& all) {
  const auto plain = py::reinterpret_borrow<py::object>(plain_type());
  std::vector<std::pair<py::object, py::object>> values;
  for (const auto& [place, given] : all) {
    const auto state = py::reinterpret_borrow<py::object>(given);
    const py::object type = five(state)[4];
    if (!PyLong_Check(place.ptr())) throw py::type_error("a node's place must be an int");
    values.emplace_back(
        value_at(snapshot, place.cast<std::size_t>(), type.is_none() ? plain : type), state);
  }
  snapshot.restoring.reset();
  for (const auto& [value, state] : values) set_belongings(value, state);
}

py::object reduce(PyObject* self) {
  const Index node = node_of(self);
  const py::module_ core = py::module_::import("tapegrad._core");
  const py::object type = type_of(self);
  if (tape().cell(node).op == Op::leaf) {
    const py::object state = belongings(node);
    const py::object function = core.attr("_restored_leaf");
    const py::tuple arguments =
        py::make_tuple(type, tape().cell(node).primal, tape().link(node).adjoint);
    if (state.is_none()) return py::make_tuple(function, arguments);
    if (!has_own_state(type)) return py::make_tuple(function, arguments, state);
    // The class's __setstate__ takes the result of its __getstate__, which is one part of `state`.
    return py::make_tuple(function, arguments, state, py::none(), py::none(),
                          core.attr("_set_state"));
  }
  Snapshot* snapshot = snapshot_of(node);
  py::object owner;
  if (snapshot != nullptr) {
    owner = snapshot_object(snapshot);
  } else {
    auto fresh = std::make_unique<Snapshot>();
    const auto known = [&](Index one) {
      Snapshot* const other = snapshot_of(one);
      if (other == nullptr || other == fresh.get()) return false;
      fresh->add_other(one, snapshot_object(other), other->places.at(one));
      return true;
    };
    for (const Index one : reachable(node, known)) {
      tape().own(one);
      fresh->add(one);
    }
    fresh->written = records(*fresh);
    snapshot = fresh.get();
    owner = py::cast(std::move(fresh));
  }
  return py::make_tuple(core.attr("_value_at"),
                        py::make_tuple(owner, snapshot->places.at(node), type));
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

// Calls a function and returns a new reference. Translates a C++ exception into a Python error and
// then returns null.
template <class Call>
PyObject* translated(Call call) {
  try {
    return call().release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::cast_error& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc& error) {
    set_memory_error(error);
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

}  // namespace

extern "C" PyObject* value_reduce_ex(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return translated([&] {
    if (overrides(type_of(self), plain_type(), "__reduce__"))
      return py::handle(self).attr("__reduce__")();
    return reduce(self);
  });
}

extern "C" PyObject* value_reduce(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return translated([&] { return reduce(self); });
}

extern "C" PyObject* value_setstate(PyObject* self, PyObject* given) {
  return translated([&]() -> py::object {
    const auto value = py::reinterpret_borrow<py::object>(self);
    const auto state = py::reinterpret_borrow<py::object>(given);
    const bool is_pair = PyTuple_Check(given) && PyTuple_GET_SIZE(given) == 2;
    if (is_pair || PyDict_Check(given)) set_default_state(value, state);
    else if (!is_set(self)) throw py::error_already_set();
    else set_belongings(value, state);
    return py::none();
  });
}

extern "C" PyObject* value_copy(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return translated([&] {
    if (has_own_reduction(type_of(self))) return reconstructed(self, py::none());
    const py::object given = belongings(node_of(self));
    const py::object copy = owned(adopt_as(Py_TYPE(self), tape().copy(node_of(self))));
    set_belongings(copy, given);
    return copy;
  });
}

// A deep copy of a Value's state. It copies dicts itself: the copy module would make an iterator
// over their items, and CPython 3.11 may crash if there is no memory for that.
static py::object deep_copied_state(const py::object& state, const py::dict& memo,
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
static void copy_nodes(const std::vector<Index>& nodes, const py::dict& memo,
                       MadeByClass made_by_class) {
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
    const py::object given = belongings(node);
    if (!original && given.is_none()) continue;
    py::object type = given.is_none() ? plain : five(given)[4];
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
    const py::tuple all = five(given);
    set_belongings(value, py::make_tuple(all[0], all[1], deepcopy(all[2], memo),
                                         deep_copied_state(all[3], memo, deepcopy), all[4]));
  }
}

static bool has_own_copy(const py::object& value) {
  const py::object type = py::type::of(value);
  return has_own_reduction(type) || overrides(type, plain_type(), "__deepcopy__");
}

static py::object deep_copy(PyObject* self, const py::dict& memo) {
  const Index root = node_of(self);
  NodeCopies& copies = NodeCopies::in(memo);
  if (!copies.has(root)) {
    const std::vector<Index> nodes = reachable(root, [&](Index node) { return copies.has(node); });
    copy_nodes(nodes, memo,
               [&](const py::object& value) { return value.ptr() != self && has_own_copy(value); });
  }
  return owned(handle_of(copies.at(root)));
}

extern "C" PyObject* value_deepcopy(PyObject* self, PyObject* given) {
  if (!is_set(self)) return nullptr;
  return translated([&]() -> py::object {
    if (!PyDict_Check(given)) throw py::type_error("memo must be a dict");
    const auto memo = py::reinterpret_borrow<py::dict>(given);
    if (!has_own_reduction(type_of(self))) return deep_copy(self, memo);
    const Index node = node_of(self);
    const py::object made = reconstructed(self, memo);
    if (is_value(made.ptr())) NodeCopies::in(memo).add(node, node_of(made.ptr()));
    return made;
  });
}

static std::unique_ptr<Snapshot> copied_snapshot(const Snapshot& snapshot, const py::dict& memo) {
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

static py::object make_class(py::module_& module) {
  const py::class_<Snapshot> type(module, "Snapshot", checked_allocation(),
                                  "The nodes of a graph that is copied or pickled.");
  py::class_<Snapshot>(type)
      .def(py::init(&unpack))
      .def("__reduce__",
           [](py::object self) {
             auto& snapshot = self.cast<Snapshot&>();
             return py::make_tuple(py::type::of(self), pack(snapshot), all_belongings(snapshot));
           })
      .def("__deepcopy__", &copied_snapshot, py::arg("memo"), py::pos_only())
      .def("__len__", [](const Snapshot& snapshot) { return snapshot.nodes.size(); });
  // A plain method: pybind11 would treat one that is defined under the name __setstate__ as a
  // constructor.
  type.attr("__setstate__") =
      py::cpp_function(&restore_all_belongings, py::name("restore"), py::is_method(type));
  return type;
}

// Functions that pickles refer to by module and name. pickle accepts functions of the C API.
extern "C" {

static PyObject* call_value_at(PyObject*, PyObject* arguments) {
  PyObject *snapshot = nullptr, *type = nullptr;
  Py_ssize_t place = 0;
  if (!PyArg_ParseTuple(arguments, "OnO:_value_at", &snapshot, &place, &type)) return nullptr;
  return translated([&] {
    if (place < 0) throw py::index_error("no such node in this snapshot");
    return value_at(py::cast<const Snapshot&>(py::handle(snapshot)),
                    static_cast<std::size_t>(place), py::reinterpret_borrow<py::object>(type));
  });
}

static PyObject* call_restored_leaf(PyObject*, PyObject* arguments) {
  PyObject* type = nullptr;
  double data = 0.0, grad = 0.0;
  if (!PyArg_ParseTuple(arguments, "Odd:_restored_leaf", &type, &data, &grad)) return nullptr;
  return translated(
      [&] { return restored_leaf(py::reinterpret_borrow<py::object>(type), data, grad); });
}

static PyObject* call_set_state(PyObject*, PyObject* arguments) {
  PyObject *value = nullptr, *state = nullptr;
  if (!PyArg_ParseTuple(arguments, "O!O:_set_state", value_type, &value, &state)) return nullptr;
  if (!is_set(value)) return nullptr;
  return translated([&]() -> py::object {
    set_belongings(py::reinterpret_borrow<py::object>(value),
                   py::reinterpret_borrow<py::object>(state));
    return py::none();
  });
}

}  // extern "C"

static PyMethodDef pickled_functions[] = {
    {"_value_at", call_value_at, METH_VARARGS,
     "_value_at(snapshot, place, type, /)\n--\n\nReturn a Value of a pickled graph."},
    {"_restored_leaf", call_restored_leaf, METH_VARARGS,
     "_restored_leaf(type, data, grad, /)\n--\n\nReturn a pickled leaf."},
    {"_set_state", call_set_state, METH_VARARGS,
     "_set_state(value, state, /)\n--\n\nRestore the attributes of a pickled Value."},
    {nullptr, nullptr, 0, nullptr},
};

void register_snapshots(py::module_& module) {
  const bool known = py::detail::get_type_info(typeid(Snapshot)) != nullptr;
  module.attr("Snapshot") = known ? py::object(py::type::of<Snapshot>()) : make_class(module);
  if (PyModule_AddFunctions(module.ptr(), pickled_functions) < 0) throw py::error_already_set();
}

}  // namespace tapegrad::python
