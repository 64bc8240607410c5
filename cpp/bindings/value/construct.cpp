// The constructor Value(data, _children=(), _op="", label=""), in the spelling of every dialect.
#include <string>
#include <vector>

#include "value/type.hpp"

namespace tapegrad::python {

namespace {

// An owned reference to a Python object, which may be null.
struct Reference {
  explicit Reference(PyObject* object) : object(object) {}
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;
  ~Reference() { Py_XDECREF(object); }
  PyObject* object;
};

// Appends an operand for each child. `tuple` keeps the children alive. Returns false with an error
// set.
bool read_children(PyObject* tuple, const char* name, std::vector<Operand>& operands) {
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(tuple); ++k) {
    PyObject* child = PyTuple_GET_ITEM(tuple, k);
    if (!is_value(child)) {
      if (PyType_IsSubtype(Py_TYPE(child), value_type)) refuse_unset(child);
      else
        PyErr_Format(PyExc_TypeError, "%s[%zd] must be a Value, not '%s'", name, k,
                     Py_TYPE(child)->tp_name);
      return false;
    }
    operands.push_back({node_of(child), 0.0});
  }
  return true;
}

// Reads the children's nodes again: a conversion may have run a child's __init__, which gives it
// another node.
void read_nodes(PyObject* tuple, std::vector<Operand>& operands) {
  for (std::size_t k = 0; k < operands.size(); ++k)
    operands[k].node = node_of(PyTuple_GET_ITEM(tuple, static_cast<Py_ssize_t>(k)));
}

bool read_local_grads(PyObject* given, std::vector<Operand>& operands) {
  const Reference sequence(PySequence_Fast(given, "local_grads must be a sequence of numbers"));
  if (sequence.object == nullptr) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence.object);
  if (static_cast<std::size_t>(count) != operands.size()) {
    PyErr_Format(PyExc_ValueError, "local_grads must have one number for each child: %zd for %zu",
                 count, operands.size());
    return false;
  }
  for (Py_ssize_t k = 0; k < count; ++k) {
    // A conversion may run Python code that changes the list.
    if (k >= PySequence_Fast_GET_SIZE(sequence.object)) {
      PyErr_SetString(PyExc_ValueError, "local_grads changed while it was read");
      return false;
    }
    const Reference item(Py_NewRef(PySequence_Fast_GET_ITEM(sequence.object, k)));
    const std::string name = "local_grads[" + std::to_string(k) + "]";
    if (!need_number(item.object, name.c_str(), operands[static_cast<std::size_t>(k)].partial))
      return false;
  }
  return true;
}

// The arguments of a call of Value(): borrowed references, null if not given.
struct Arguments {
  PyObject* data;
  PyObject* children;
  const char* children_name;
  PyObject* local_grads;
  PyObject* symbol;
  PyObject* label;
};

// A new node owned by the caller; no_node, with an error set, on an error.
Index make_node(const Arguments& given) {
  double primal = 0.0;
  std::string symbol, label;
  if (!need_number(given.data, "data", primal)) return no_node;
  if (given.symbol != nullptr && !need_text(given.symbol, "_op", symbol)) return no_node;
  if (given.label != nullptr && !need_text(given.label, "label", label)) return no_node;
  std::vector<Operand> operands;
  // A private tuple: a conversion may change the iterable that was given.
  const Reference children(given.children != nullptr ? PySequence_Tuple(given.children)
                                                     : PyTuple_New(0));
  if (children.object == nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError))
      PyErr_Format(PyExc_TypeError, "%s must be an iterable of Values, not '%s'",
                   given.children_name, Py_TYPE(given.children)->tp_name);
    return no_node;
  }
  if (!read_children(children.object, given.children_name, operands)) return no_node;
  if (given.local_grads != nullptr && !read_local_grads(given.local_grads, operands))
    return no_node;
  read_nodes(children.object, operands);
  return guarded(
      [&] {
        const Index node = tape().open(primal, operands);
        if (symbol.empty() && label.empty()) return node;
        try {
          NodeExtra& extra = tape().need_extra(node);
          extra.label = std::move(label);
          if (!symbol.empty()) extra.symbol = std::make_unique<std::string>(std::move(symbol));
        } catch (...) {
          tape().release(node);
          throw;
        }
        return node;
      },
      no_node);
}

// Assigns the arguments of a call to their meanings. The third positional argument is micrograd's
// _op or microgpt's local gradients. Returns false with an error set.
bool read_arguments(PyObject* const* args, Py_ssize_t count, PyObject* names, Arguments& out) {
  static const char* const parameters[] = {"data",     "_children", "_op",         "label",
                                           "children", "_prev",     "local_grads", "_local_grads"};
  PyObject* found[8] = {};
  if (count > 4) {
    PyErr_Format(PyExc_TypeError, "Value() takes at most 4 positional arguments (%zd given)",
                 count);
    return false;
  }
  if (!split_arguments("Value", args, count, names, parameters, 8, 1, found)) return false;
  if (found[2] != nullptr && !PyUnicode_Check(found[2])) {
    if (found[6] != nullptr || found[7] != nullptr) {
      PyErr_SetString(PyExc_TypeError, "Value() got local gradients twice");
      return false;
    }
    if (!PyTuple_Check(found[2]) && !PyList_Check(found[2])) {
      PyErr_Format(PyExc_TypeError, "_op must be a str, or a tuple of local gradients, not '%s'",
                   Py_TYPE(found[2])->tp_name);
      return false;
    }
    found[6] = std::exchange(found[2], nullptr);
  }
  out = {found[0], nullptr, "_children", found[6] != nullptr ? found[6] : found[7],
         found[2], found[3]};
  for (const int k : {1, 4, 5}) {
    if (found[k] == nullptr) continue;
    if (out.children != nullptr) {
      PyErr_SetString(PyExc_TypeError, "Value() got its children twice");
      return false;
    }
    out.children = found[k];
    out.children_name = parameters[k];
  }
  return true;
}

}  // namespace

bool split_arguments(const char* function, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords, const char* const* names, Py_ssize_t most,
                     Py_ssize_t least, PyObject** out) {
  if (count > most) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zd argument%s (%zd given)", function, most,
                 most == 1 ? "" : "s", count);
    return false;
  }
  for (Py_ssize_t k = 0; k < count; ++k) out[k] = args[k];
  const Py_ssize_t keyword_count = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t j = 0; j < keyword_count; ++j) {
    PyObject* name = PyTuple_GET_ITEM(keywords, j);
    if (!PyUnicode_Check(name)) {
      PyErr_SetString(PyExc_TypeError, "keywords must be strings");
      return false;
    }
    Py_ssize_t k = 0;
    while (k < most && PyUnicode_CompareWithASCIIString(name, names[k]) != 0) ++k;
    if (k == most) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
      return false;
    }
    if (out[k] != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", function,
                   names[k]);
      return false;
    }
    out[k] = args[count + j];
  }
  for (Py_ssize_t k = 0; k < least; ++k) {
    if (out[k] != nullptr) continue;
    PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s' (pos %zd)", function,
                 names[k], k + 1);
    return false;
  }
  return true;
}

// Calls the type in the ordinary way, for a program that has given it an __init__ or __new__.
[[gnu::noinline]] static PyObject* call_type(PyObject* type, PyObject* const* args,
                                             Py_ssize_t count, PyObject* names) {
  const Reference positional(PyTuple_New(count));
  if (positional.object == nullptr) return nullptr;
  for (Py_ssize_t k = 0; k < count; ++k) PyTuple_SET_ITEM(positional.object, k, Py_NewRef(args[k]));
  const Reference by_name(names != nullptr ? PyDict_New() : nullptr);
  if (names != nullptr && by_name.object == nullptr) return nullptr;
  for (Py_ssize_t k = 0; names != nullptr && k < PyTuple_GET_SIZE(names); ++k)
    if (PyDict_SetItem(by_name.object, PyTuple_GET_ITEM(names, k), args[count + k]) < 0)
      return nullptr;
  return PyType_Type.tp_call(type, positional.object, by_name.object);
}

// Returns `made`, an owned reference, after a call of the type. If it is a Value without a node,
// the program's __init__ has not called Value's: this function then makes the node from the
// arguments. On an error, releases `made` and returns null.
[[gnu::noinline]] static PyObject* filled(PyObject* made, PyObject* const* args, Py_ssize_t count,
                                          PyObject* names) {
  if (made == nullptr || Py_TYPE(made) != value_type || node_of(made) != unset_node) return made;
  const bool done = guarded([&] {
    Arguments given{};
    if (!read_arguments(args, count, names, given)) return false;
    const Index node = make_node(given);
    return node != no_node && refill(as_handle(made), node);
  });
  if (done) return made;
  Py_DECREF(made);
  return nullptr;
}

[[gnu::noinline]] static PyObject* make_value(PyObject* const* args, Py_ssize_t count,
                                              PyObject* names) {
  if (count == 1 && names == nullptr) {
    double primal = 0.0;
    if (!need_number(args[0], "data", primal)) return nullptr;
    return guarded([&] { return wrap(tape().leaf(primal)); });
  }
  return guarded([&]() -> PyObject* {
    Arguments given{};
    if (!read_arguments(args, count, names, given)) return nullptr;
    const Index node = make_node(given);
    return node == no_node ? nullptr : wrap(node);
  });
}

extern "C" PyObject* value_vectorcall(PyObject* type, PyObject* const* args, size_t flags,
                                      PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  auto* const wanted = reinterpret_cast<PyTypeObject*>(type);
  if (wanted != value_type || wanted->tp_init != value_init || wanted->tp_new != value_new)
      [[unlikely]]
    return filled(call_type(type, args, count, names), args, count, names);
  if (count == 1 && names == nullptr && PyFloat_CheckExact(args[0]) && ready_for_leaf()) [[likely]]
    return wrap(tape().leaf(PyFloat_AS_DOUBLE(args[0])));
  return make_value(args, count, names);
}

// Makes a node from the arguments of tp_new or tp_init; see make_node().
static Index node_from(PyObject* args, PyObject* keywords) {
  // Strong references: a conversion may change the dict if it is the program's own.
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  const Py_ssize_t named = keywords != nullptr ? PyDict_GET_SIZE(keywords) : 0;
  const Reference names(PyTuple_New(named));
  const Reference all(PyTuple_New(count + named));
  if (names.object == nullptr || all.object == nullptr) return no_node;
  for (Py_ssize_t k = 0; k < count; ++k)
    PyTuple_SET_ITEM(all.object, k, Py_NewRef(PyTuple_GET_ITEM(args, k)));
  PyObject *name, *value;
  for (Py_ssize_t at = 0, k = 0; k < named && PyDict_Next(keywords, &at, &name, &value); ++k) {
    PyTuple_SET_ITEM(names.object, k, Py_NewRef(name));
    PyTuple_SET_ITEM(all.object, count + k, Py_NewRef(value));
  }
  Arguments given{};
  if (!read_arguments(PySequence_Fast_ITEMS(all.object), count, names.object, given))
    return no_node;
  return make_node(given);
}

static bool is_given(PyObject* args, PyObject* keywords) {
  return PyTuple_GET_SIZE(args) != 0 || (keywords != nullptr && PyDict_GET_SIZE(keywords) != 0);
}

static PyObject* make_of_type(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  if (type->tp_flags & Py_TPFLAGS_IS_ABSTRACT) {
    const Reference nothing(PyTuple_New(0));  // object's own error names the missing methods
    return nothing.object != nullptr ? PyBaseObject_Type.tp_new(type, nothing.object, nullptr)
                                     : nullptr;
  }
  const bool for_init = type->tp_new == value_new && type->tp_init != value_init;
  if (for_init || !is_given(args, keywords)) return make_unset(type);
  const Index node = node_from(args, keywords);
  if (node == no_node) return nullptr;
  PyObject* const object = adopt_as(type, node);
  if (object != nullptr) tape().cell(node_of(object)).flags |= flag::fresh;
  return object;
}

// Creates a Value for a class. A class that defines __init__ and not __new__ may have other
// parameters than Value: its Values get their node when its __init__ calls Value.__init__.
extern "C" PyObject* value_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  return guarded([&] { return make_of_type(type, args, keywords); });
}

// Makes the node again from new arguments. It has no effect after a __new__ that made the node in
// two cases: in the call that Python itself adds, and in super().__init__() without arguments.
extern "C" int value_init(PyObject* self, PyObject* args, PyObject* keywords) {
  std::uint16_t& flags = tape().cell(node_of(self)).flags;
  const bool fresh = flags & flag::fresh;
  flags &= static_cast<std::uint16_t>(~flag::fresh);
  if (fresh && (Py_TYPE(self)->tp_init == value_init || !is_given(args, keywords))) return 0;
  return guarded(
      [&] {
        const Index node = node_from(args, keywords);
        return node != no_node && refill(as_handle(self), node) ? 0 : -1;
      },
      -1);
}

}  // namespace tapegrad::python
