// Pickling of graphs as flat arrays, whose depth has no limit.
//
// Values of one graph must share that graph again after pickling. A node with operands is therefore
// pickled as a place in a Snapshot, an object in the pickler's memo. A later Value of the same
// graph finds that Snapshot alive and refers to it. A leaf is pickled by itself.
#include "value/snapshot.hpp"

#include <bit>
#include <cstring>
#include <limits>

#include <pybind11/stl.h>

#include "common/allocation.hpp"
#include "common/references.hpp"
#include "module.hpp"
#include "value/copying.hpp"

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

}  // namespace

std::unordered_map<Index, std::vector<Snapshot*>>& holders() {
  static auto& map = *new std::unordered_map<Index, std::vector<Snapshot*>>;
  return map;
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

namespace {

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

py::object value_at(const Snapshot& snapshot, std::size_t place, const py::object& type) {
  if (place >= snapshot.nodes.size()) throw py::index_error("no such node in this snapshot");
  return value_of_type(snapshot.nodes[place], type);
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

py::dict node_states(const Snapshot& snapshot) {
  py::dict all;
  for (std::size_t k = 0; k < snapshot.nodes.size(); ++k) {
    const Index node = snapshot.nodes[k];
    if (tape().cell(node).op == Op::leaf && object_of(node)) continue;
    if (py::object one = node_state(node); !one.is_none()) all[py::int_(k)] = one;
  }
  return all;
}

// Creates the Values of all nodes with their classes before it restores any state, since a state
// may refer to other Values.
void restore_node_states(Snapshot& snapshot, const py::dict& all) {
  const auto plain = py::reinterpret_borrow<py::object>(plain_type());
  std::vector<std::pair<py::object, py::object>> values;
  for (const auto& [place, given] : all) {
    const auto state = py::reinterpret_borrow<py::object>(given);
    const py::object type = five_parts(state)[4];
    if (!PyLong_Check(place.ptr())) throw py::type_error("a node's place must be an int");
    values.emplace_back(
        value_at(snapshot, place.cast<std::size_t>(), type.is_none() ? plain : type), state);
  }
  snapshot.restoring.reset();
  for (const auto& [value, state] : values) set_node_state(value, state);
}

py::object reduce(PyObject* self) {
  const Index node = node_of(self);
  const py::module_ core = py::module_::import("tapegrad._core");
  const py::object type = type_of(self);
  if (tape().cell(node).op == Op::leaf) {
    const py::object state = node_state(node);
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

}  // namespace

extern "C" PyObject* value_reduce_ex(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return new_reference([&] {
    if (overrides(type_of(self), plain_type(), "__reduce__"))
      return py::handle(self).attr("__reduce__")();
    return reduce(self);
  });
}

extern "C" PyObject* value_reduce(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  return new_reference([&] { return reduce(self); });
}

extern "C" PyObject* value_setstate(PyObject* self, PyObject* given) {
  return new_reference([&]() -> py::object {
    const auto value = py::reinterpret_borrow<py::object>(self);
    const auto state = py::reinterpret_borrow<py::object>(given);
    const bool is_pair = PyTuple_Check(given) && PyTuple_GET_SIZE(given) == 2;
    if (is_pair || PyDict_Check(given)) set_default_state(value, state);
    else if (!is_set(self)) throw py::error_already_set();
    else set_node_state(value, state);
    return py::none();
  });
}

static py::object make_class(py::module_& module) {
  const py::class_<Snapshot> type(module, "Snapshot", checked_allocation(),
                                  "The nodes of a graph that is copied or pickled.");
  py::class_<Snapshot>(type)
      .def(py::init(&unpack))
      .def("__reduce__",
           [](py::object self) {
             auto& snapshot = self.cast<Snapshot&>();
             return py::make_tuple(py::type::of(self), pack(snapshot), node_states(snapshot));
           })
      .def("__deepcopy__", &copied_snapshot, py::arg("memo"), py::pos_only())
      .def("__len__", [](const Snapshot& snapshot) { return snapshot.nodes.size(); });
  // A plain method: pybind11 would treat one that is defined under the name __setstate__ as a
  // constructor.
  type.attr("__setstate__") =
      py::cpp_function(&restore_node_states, py::name("restore"), py::is_method(type));
  return type;
}

// Functions that pickles refer to by module and name. pickle accepts functions of the C API.
extern "C" {

static PyObject* call_value_at(PyObject*, PyObject* arguments) {
  PyObject *snapshot = nullptr, *type = nullptr;
  Py_ssize_t place = 0;
  if (!PyArg_ParseTuple(arguments, "OnO:_value_at", &snapshot, &place, &type)) return nullptr;
  return new_reference([&] {
    if (place < 0) throw py::index_error("no such node in this snapshot");
    return value_at(py::cast<const Snapshot&>(py::handle(snapshot)),
                    static_cast<std::size_t>(place), py::reinterpret_borrow<py::object>(type));
  });
}

static PyObject* call_restored_leaf(PyObject*, PyObject* arguments) {
  PyObject* type = nullptr;
  double data = 0.0, grad = 0.0;
  if (!PyArg_ParseTuple(arguments, "Odd:_restored_leaf", &type, &data, &grad)) return nullptr;
  return new_reference(
      [&] { return restored_leaf(py::reinterpret_borrow<py::object>(type), data, grad); });
}

static PyObject* call_set_state(PyObject*, PyObject* arguments) {
  PyObject *value = nullptr, *state = nullptr;
  if (!PyArg_ParseTuple(arguments, "O!O:_set_state", value_type, &value, &state)) return nullptr;
  if (!is_set(value)) return nullptr;
  return new_reference([&]() -> py::object {
    set_node_state(py::reinterpret_borrow<py::object>(value),
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
