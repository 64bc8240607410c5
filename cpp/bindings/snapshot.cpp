// Copying and pickling: a graph as flat arrays, whatever its depth.
//
// Values of one graph must still be of one graph after pickling. So a node with operands is pickled
// as a place in a Snapshot, an object that the pickler remembers; a later Value of the same graph
// finds that Snapshot alive and refers to it. Leaves are pickled by themselves.
#include "snapshot.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "module.hpp"
#include "type.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

constexpr int format_version = 1;
constexpr std::uint16_t leaf_code = 0xffff, open_code = 0xfffe;
constexpr std::int32_t constant_place = -1;  // places below it count foreign nodes

struct NodeRecord {
  double primal, adjoint;
  std::uint32_t operands;
  std::uint16_t code, flags;
};
struct OperandRecord {
  double partial;
  std::int64_t place;
};

class Snapshot;
std::vector<Snapshot*> alive;

// Nodes of one graph, older ones first, each owned.
class Snapshot {
 public:
  Snapshot() { alive.push_back(this); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    std::erase(alive, this);
    for (const Index node : nodes) tape().release(node);
  }

  void add(Index node) {
    nodes.push_back(node);
    tape().own(node);
  }

  std::vector<Index> nodes;
  std::unordered_map<Index, std::size_t> places;
  std::uint64_t taken_at = changes;
};

py::object snapshot_object(Snapshot* snapshot) {
  return py::cast(snapshot, py::return_value_policy::reference);
}

// The Snapshot that still truly holds the node, if any.
Snapshot* snapshot_of(Index node) {
  for (Snapshot* snapshot : alive)
    if (snapshot->taken_at == changes && snapshot->places.contains(node)) return snapshot;
  return nullptr;
}

// The nodes that `root` reaches, older ones first; not those, nor what only they reach, that
// `known` tells.
template <class Known>
std::vector<Index> reachable(Index root, Known known) {
  const auto older = [](Index a, Index b) {
    return tape().blocks().order(a) < tape().blocks().order(b);
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
  // Leaves have no order of creation; users are told apart from them by coming later.
  std::stable_partition(found.begin(), found.end(),
                        [](Index node) { return tape().cell(node).op == Op::leaf; });
  return found;
}

py::object text_or_none(const std::string* text) {
  return text != nullptr && !text->empty() ? py::object(py::str(*text)) : py::object(py::none());
}

// (label, symbol, backward function, attributes, subclass), or None for a node with nothing of
// these.
py::object belongings(Index node) {
  const Note* note = tape().find_note(node);
  PyObject *dict = nullptr, *type = nullptr;
  if (Handle* const handle = find_handle(node)) {
    dict = attributes_of(handle);
    type = reinterpret_cast<PyObject*>(Py_TYPE(reinterpret_cast<PyObject*>(handle)));
  } else if (note != nullptr && note->attachment) {
    const auto* attached = static_cast<const Attachment*>(note->attachment.get());
    dict = attached->dict;
    type = reinterpret_cast<PyObject*>(attached->type);
  }
  if (type == reinterpret_cast<PyObject*>(value_type)) type = nullptr;
  const PythonBackward* backward = python_backward(node);
  PyObject* callable = backward != nullptr ? backward->callable : nullptr;
  if (note == nullptr && callable == nullptr && dict == nullptr && type == nullptr)
    return py::none();
  const auto object = [](PyObject* o) {
    return o != nullptr ? py::reinterpret_borrow<py::object>(o) : py::object(py::none());
  };
  return py::make_tuple(text_or_none(note != nullptr ? &note->label : nullptr),
                        text_or_none(note != nullptr ? note->symbol.get() : nullptr),
                        object(callable), object(dict), object(type));
}

py::tuple five(const py::object& given) {
  if (!PyTuple_Check(given.ptr()) || PyTuple_GET_SIZE(given.ptr()) != 5)
    throw py::type_error("a node's state must be a tuple of five, or None");
  return py::reinterpret_borrow<py::tuple>(given);
}

// `value` is the Value whose node is to have them.
void set_belongings(py::handle value, const py::object& given) {
  if (given.is_none()) return;
  const std::uint64_t before = changes;  // these are changes to a new node, of no Snapshot
  const py::tuple all = five(given);
  const py::object label = all[0], symbol = all[1], backward = all[2], attributes = all[3];
  if (!label.is_none()) value.attr("label") = label;
  if (!symbol.is_none()) value.attr("_op") = symbol;
  if (!backward.is_none()) value.attr("_backward") = backward;
  if (!attributes.is_none() && !add_attributes(value.ptr(), attributes.ptr()))
    throw py::error_already_set();
  changes = before;
}

// The operands as restore() takes them: in the order of the operation.
std::vector<Operand> ordered_operands(Index node) {
  std::vector<Operand> list;
  tape().append_operands(node, list);
  if (tape().cell(node).flags & flag::constant_left && !tape().has_extra(node))
    std::swap(list[0], list[1]);
  return list;
}

py::tuple pack(Snapshot& snapshot) {
  std::string nodes, operands;
  py::list names, leaves, foreign;
  std::unordered_map<std::uint16_t, std::uint16_t> codes;
  const auto code_of = [&](Op op) {
    if (op == Op::leaf) return leaf_code;
    if (op == Op::open) return open_code;
    const auto [at, added] =
        codes.emplace(static_cast<std::uint16_t>(op), static_cast<std::uint16_t>(codes.size()));
    if (added) names.append(std::string(description(op)->name));
    return at->second;
  };
  for (std::size_t k = 0; k < snapshot.nodes.size(); ++k) {
    const Index node = snapshot.nodes[k];
    const Cell& cell = tape().cell(node);
    const std::vector<Operand> list =
        cell.op == Op::leaf ? std::vector<Operand>{} : ordered_operands(node);
    const NodeRecord record{
        cell.primal, tape().link(node).adjoint, static_cast<std::uint32_t>(list.size()),
        code_of(cell.op),
        static_cast<std::uint16_t>(cell.flags & (flag::constant_left | flag::constant_right))};
    nodes.append(reinterpret_cast<const char*>(&record), sizeof record);
    for (const Operand& operand : list) {
      OperandRecord written{operand.partial, constant_place};
      if (operand.node != no_node) {
        const auto place = snapshot.places.find(operand.node);
        if (place != snapshot.places.end()) {
          written.place = static_cast<std::int64_t>(place->second);
        } else {
          Snapshot* other = snapshot_of(operand.node);
          if (other == nullptr) throw py::value_error("the graph changed while it was pickled");
          written.place = -2 - static_cast<std::int64_t>(py::len(foreign));
          foreign.append(py::make_tuple(snapshot_object(other), other->places.at(operand.node)));
        }
      }
      operands.append(reinterpret_cast<const char*>(&written), sizeof written);
    }
    if (cell.op == Op::leaf && tape().has_handle(node))
      leaves.append(py::make_tuple(
          k, py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(find_handle(node)))));
  }
  return py::make_tuple(format_version,
                        std::endian::native == std::endian::little ? "little" : "big",
                        py::tuple(names), py::bytes(nodes), py::bytes(operands), py::tuple(leaves),
                        py::tuple(foreign));
}

[[noreturn]] void damaged(const char* why) {
  throw py::value_error(std::string("this pickled graph cannot be read: ") + why);
}

Op code_named(const std::string& name) {
  for (std::size_t k = 0; k < ops::count; ++k)
    if (ops::descriptions[k].name == name) return static_cast<Op>(k);
  damaged(("it has an unknown operation '" + name + "'").c_str());
}

std::unique_ptr<Snapshot> unpack(
    int version, const std::string& order, const std::vector<std::string>& names,
    const py::bytes& node_bytes, const py::bytes& operand_bytes,
    const std::vector<std::pair<std::size_t, py::object>>& leaves,
    const std::vector<std::pair<const Snapshot*, std::size_t>>& foreign) {
  if (version != format_version) damaged("it is of another version");
  if (order != (std::endian::native == std::endian::little ? "little" : "big"))
    damaged("it is of a machine of another byte order");
  const std::string_view nodes = node_bytes, operands = operand_bytes;
  if (nodes.size() % sizeof(NodeRecord) != 0 || operands.size() % sizeof(OperandRecord) != 0)
    damaged("its length is wrong");
  std::unordered_map<std::size_t, Index> given;
  for (const auto& [place, value] : leaves) {
    if (!is_value(value.ptr())) throw py::type_error("a leaf must be a Value");
    given.emplace(place, node_of(value.ptr()));
  }
  auto snapshot = std::make_unique<Snapshot>();
  const std::size_t count = nodes.size() / sizeof(NodeRecord);
  const std::size_t operand_count = operands.size() / sizeof(OperandRecord);
  snapshot->nodes.reserve(count);
  for (std::size_t k = 0, at = 0; k < count; ++k) {
    NodeRecord record;
    std::memcpy(&record, nodes.data() + k * sizeof record, sizeof record);
    if (const auto leaf = given.find(k); leaf != given.end()) {
      snapshot->add(leaf->second);
    } else if (record.code == leaf_code) {
      snapshot->nodes.push_back(tape().leaf(record.primal));
    } else {
      const Op code = record.code == open_code     ? Op::open
                      : record.code < names.size() ? code_named(names[record.code])
                                                   : (damaged("an operation is unknown"), Op::open);
      if (record.operands > operand_count - at) damaged("operands are missing");
      std::vector<Operand> list;
      for (std::uint32_t j = 0; j < record.operands; ++j, ++at) {
        OperandRecord operand;
        std::memcpy(&operand, operands.data() + at * sizeof operand, sizeof operand);
        Index node = no_node;
        if (operand.place >= 0) {
          if (static_cast<std::size_t>(operand.place) >= k)
            damaged("an operand is younger than its user");
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
      snapshot->nodes.push_back(tape().restore(code, record.primal, std::move(list)));
    }
    if (!given.contains(k)) tape().link(snapshot->nodes[k]).adjoint = record.adjoint;
    snapshot->places.emplace(snapshot->nodes[k], k);
  }
  return snapshot;
}

// The node's Value; where it has none yet, one of that type.
py::object value_of_type(Index node, const py::object& type) {
  auto* wanted = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (!PyType_Check(type.ptr()) || !PyType_IsSubtype(wanted, value_type))
    throw py::type_error("a Value's type must be Value or a subclass");
  if (wanted != value_type && !tape().has_handle(node)) {
    std::unique_ptr<Owned>& attached = tape().need_note(node).attachment;
    if (attached == nullptr) attached = std::make_unique<Attachment>();
    PyTypeObject*& kept = static_cast<Attachment*>(attached.get())->type;
    if (kept == nullptr) kept = reinterpret_cast<PyTypeObject*>(Py_NewRef(type.ptr()));
  }
  PyObject* handle = handle_of(node);
  if (handle == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(handle);
}

py::object value_at(const Snapshot& snapshot, std::size_t place, const py::object& type) {
  if (place >= snapshot.nodes.size()) throw py::index_error("no such node in this snapshot");
  return value_of_type(snapshot.nodes[place], type);
}

PyObject* handle_of_living(Index node) {
  return Py_XNewRef(reinterpret_cast<PyObject*>(find_handle(node)));
}

// A copy whose operands are the copies of the node's; the caller owns it.
Index copied_with(Index node, const std::unordered_map<Index, Index>& copy_of) {
  const Op code = tape().cell(node).op;
  if (code == Op::leaf) return tape().copy(node);
  std::vector<Operand> list = ordered_operands(node);
  for (Operand& operand : list)
    if (operand.node != no_node) operand.node = copy_of.at(operand.node);
  const Index copy = tape().restore(code, tape().cell(node).primal, std::move(list));
  tape().link(copy).adjoint = tape().link(node).adjoint;
  return copy;
}

py::object restored_leaf(const py::object& type, const py::float_& data, const py::float_& grad) {
  py::object value = type(data);
  if (!is_value(value.ptr())) throw py::type_error("a leaf's type must be Value or a subclass");
  tape().link(node_of(value.ptr())).adjoint = grad;
  return value;
}

py::dict all_belongings(const Snapshot& snapshot) {
  py::dict all;
  for (std::size_t k = 0; k < snapshot.nodes.size(); ++k) {
    const Index node = snapshot.nodes[k];
    if (tape().cell(node).op == Op::leaf && tape().has_handle(node)) continue;
    if (py::object one = belongings(node); !one.is_none()) all[py::int_(k)] = one;
  }
  return all;
}

void restore_all_belongings(const Snapshot& snapshot, const py::dict& all) {
  const auto plain = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(value_type));
  for (const auto& [place, given] : all) {
    const auto state = py::reinterpret_borrow<py::object>(given);
    const py::object type = five(state)[4];
    if (!PyLong_Check(place.ptr())) throw py::type_error("a node's place must be an int");
    set_belongings(value_at(snapshot, place.cast<std::size_t>(), type.is_none() ? plain : type),
                   state);
  }
}

py::object reduce(PyObject* self) {
  const Index node = node_of(self);
  const py::module_ core = py::module_::import("tapegrad._core");
  const auto type = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(Py_TYPE(self)));
  if (tape().cell(node).op == Op::leaf) {
    return py::make_tuple(core.attr("_restored_leaf"),
                          py::make_tuple(type, tape().cell(node).primal, tape().link(node).adjoint),
                          belongings(node));
  }
  Snapshot* snapshot = snapshot_of(node);
  py::object owner;
  if (snapshot != nullptr) {
    owner = snapshot_object(snapshot);
  } else {
    auto fresh = std::make_unique<Snapshot>();
    for (const Index one : reachable(node, [](Index n) { return snapshot_of(n) != nullptr; })) {
      fresh->places.emplace(one, fresh->nodes.size());
      fresh->add(one);
    }
    snapshot = fresh.get();
    owner = py::cast(std::move(fresh));
  }
  return py::make_tuple(core.attr("_value_at"),
                        py::make_tuple(owner, snapshot->places.at(node), type));
}

// Errors of pybind11's kind become Python's.
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

extern "C" PyObject* value_reduce(PyObject* self, PyObject*) {
  return translated([&] { return reduce(self); });
}

extern "C" PyObject* value_setstate(PyObject* self, PyObject* state) {
  return translated([&]() -> py::object {
    set_belongings(self, py::reinterpret_borrow<py::object>(state));
    return py::none();
  });
}

extern "C" PyObject* value_copy(PyObject* self, PyObject*) {
  return translated([&] {
    PyObject* object = adopt_as(Py_TYPE(self), tape().copy(node_of(self)));
    if (object == nullptr) throw py::error_already_set();
    auto copy = py::reinterpret_steal<py::object>(object);
    set_belongings(copy, belongings(node_of(self)));
    return copy;
  });
}

// All nodes are copied before any attribute is, since attributes may lead back to them.
static py::object deep_copy(PyObject* self, const py::dict& memo) {
  const Index root = node_of(self);
  const auto key = [](PyObject* object) {
    return py::int_(reinterpret_cast<std::uintptr_t>(object));
  };
  Snapshot copies;  // owns the new nodes until they have users
  std::unordered_map<Index, Index> copy_of;
  std::vector<std::pair<py::object, Index>> originals;
  for (const Index node : reachable(root, [](Index) { return false; })) {
    const auto original = py::reinterpret_steal<py::object>(handle_of_living(node));
    if (original && memo.contains(key(original.ptr()))) {
      const py::object known = memo[key(original.ptr())];
      if (is_value(known.ptr())) {
        copy_of.emplace(node, node_of(known.ptr()));
        continue;
      }
    }
    const Index copy = copied_with(node, copy_of);
    copies.nodes.push_back(copy);
    copy_of.emplace(node, copy);
    originals.emplace_back(original, node);
  }
  const py::object copy_module = py::module_::import("copy");
  const py::object plain =
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(value_type));
  std::vector<std::pair<py::object, py::object>> pending;
  for (const auto& [original, node] : originals) {
    const py::object given = belongings(node);
    if (!original && given.is_none()) continue;
    py::object type = given.is_none() ? plain : five(given)[4];
    const py::object value = value_of_type(copy_of.at(node), type.is_none() ? plain : type);
    if (original) {
      memo[key(original.ptr())] = value;
      // As copy does: what the memo knows by its address must live as long as the memo.
      memo.attr("setdefault")(key(memo.ptr()), py::list()).attr("append")(original);
    }
    pending.emplace_back(value, given);
  }
  for (const auto& [value, given] : pending) {
    if (given.is_none()) continue;
    py::tuple all = five(given);
    py::object attributes = all[3];
    if (!attributes.is_none()) attributes = copy_module.attr("deepcopy")(attributes, memo);
    set_belongings(value, py::make_tuple(all[0], all[1], all[2], attributes, all[4]));
  }
  PyObject* result = handle_of(copy_of.at(root));
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

extern "C" PyObject* value_deepcopy(PyObject* self, PyObject* memo) {
  return translated([&]() -> py::object {
    if (!PyDict_Check(memo)) throw py::type_error("memo must be a dict");
    return deep_copy(self, py::reinterpret_borrow<py::dict>(memo));
  });
}

static py::object make_class(py::module_& module) {
  const py::class_<Snapshot> type(module, "Snapshot",
                                  "A graph's nodes while they are copied or pickled.");
  py::class_<Snapshot>(type)
      .def(py::init(&unpack))
      .def("__reduce__",
           [](py::object self) {
             auto& snapshot = self.cast<Snapshot&>();
             return py::make_tuple(py::type::of(self), pack(snapshot), all_belongings(snapshot));
           })
      .def("__len__", [](const Snapshot& snapshot) { return snapshot.nodes.size(); });
  // pybind11 would take a method that is named __setstate__ when defined for a constructor.
  type.attr("__setstate__") =
      py::cpp_function(&restore_all_belongings, py::name("restore"), py::is_method(type));
  return type;
}

void register_snapshots(py::module_& module) {
  const bool known = py::detail::get_type_info(typeid(Snapshot)) != nullptr;
  module.attr("Snapshot") = known ? py::object(py::type::of<Snapshot>()) : make_class(module);
  module.def("_value_at", &value_at);
  module.def("_restored_leaf", &restored_leaf);
}

}  // namespace tapegrad::python
