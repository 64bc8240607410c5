// Compiled functions: the cache of their programs, and its replay.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <memory>

#include "module.hpp"
#include "tapegrad/detail/ir/program_cache.hpp"
#include "traced/pytree.hpp"

namespace tapegrad::python {

namespace {

// The cached programs for one structure of the arguments.
struct CallSignature {
  std::shared_ptr<const TreeDef> inputs;
  ProgramCache paths;
};

// The cache of a compiled function, and its bounds.
struct Kept {
  std::vector<std::shared_ptr<CallSignature>> signatures;  // most recently used first
  Exceptions exceptions;
  std::size_t most_programs = 0;
  std::size_t most_bytes = 0;
  std::uint64_t clock = 0;  // number of replays and additions so far

  // The position of a signature. Calls of foreign code may have moved the signature or removed it.
  auto find(const TreeDef* inputs) {
    return std::find_if(signatures.begin(), signatures.end(),
                        [&](const auto& signature) { return signature->inputs.get() == inputs; });
  }
};

// The Python object for a compiled function. It owns the cache and a reference to the function.
struct Function {
  PyObject_HEAD
  Kept* kept;
  PyObject* function;
  Py_ssize_t misses;  // plus one for each recording, minus one for each replay
};

Function* as_function(PyObject* object) { return reinterpret_cast<Function*>(object); }

// The result of a replay. Null, with no error set, if no program matches the arguments.
py::object replayed(Kept& kept, py::handle args, py::handle keywords) {
  std::array<double, 32> few;
  std::vector<double> many;
  for (std::size_t k = 0; k < kept.signatures.size(); ++k) {
    const std::shared_ptr<const TreeDef> structure = kept.signatures[k]->inputs;
    const std::size_t count = structure->size();
    if (count > few.size()) many.resize(count);
    double* const numbers = count > few.size() ? many.data() : few.data();
    double* end = numbers;
    if (!structure->read_call(args, keywords, end)) continue;
    // Reading may have run code that called this function.
    const auto found = kept.find(structure.get());
    if (found == kept.signatures.end()) return {};
    std::rotate(kept.signatures.begin(), found, found + 1);
    CachedProgram* const path = kept.signatures[0]->paths.replay({numbers, count});
    if (path == nullptr) return {};
    path->used = ++kept.clock;
    // All numbers are copied first, since creating objects may run code that replays the same
    // program.
    const auto output = std::static_pointer_cast<const TreeDef>(path->attachment);
    const auto& places = path->program->outputs;
    std::array<double, 32> few_results;
    std::vector<double> many_results(places.size() > few_results.size() ? places.size() : 0);
    double* const results = many_results.empty() ? few_results.data() : many_results.data();
    for (std::size_t j = 0; j < places.size(); ++j) results[j] = path->numbers[places[j]];
    return output->unflatten(results);
  }
  return {};
}

// Removed signatures and programs. They are destroyed after the cache is consistent again, since
// they may own Python objects whose destruction runs any code.
struct Dropped {
  std::vector<std::shared_ptr<CallSignature>> signatures;
  std::vector<std::unique_ptr<CachedProgram>> paths;
};

// Removes the signatures with a dead constant, which no call matches.
void drop_dead(Kept& kept, Dropped& dropped) {
  std::vector<bool> dead;
  for (const auto& signature : kept.signatures) dead.push_back(signature->inputs->is_dead());
  std::size_t k = 0;
  std::erase_if(kept.signatures, [&](auto& signature) {
    if (!dead[k++]) return false;
    dropped.signatures.push_back(std::move(signature));
    return true;
  });
}

// Removes the least recently used programs until the others are within the bounds. The most
// recently used one stays, since the call that recorded it replays it.
void drop_oldest(Kept& kept, Dropped& dropped) {
  std::size_t count = 0, bytes = 0;
  for (const auto& signature : kept.signatures)
    for (const auto& path : signature->paths.all()) {
      ++count;
      bytes += path->program->bytes();
    }
  for (; count > 1 && (count > kept.most_programs || bytes > kept.most_bytes); --count) {
    const auto oldest = std::min_element(kept.signatures.begin(), kept.signatures.end(),
                                         [](const auto& x, const auto& y) {
                                           return x->paths.oldest()->used < y->paths.oldest()->used;
                                         });
    dropped.paths.push_back((*oldest)->paths.drop_oldest());
    bytes -= dropped.paths.back()->program->bytes();
    if ((*oldest)->paths.all().empty()) {
      dropped.signatures.push_back(std::move(*oldest));
      kept.signatures.erase(oldest);
    }
  }
}

bool read_positions(PyObject* tuple, std::vector<Py_ssize_t>& positions) {
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(tuple); ++k) {
    const Py_ssize_t position = PyLong_AsSsize_t(PyTuple_GET_ITEM(tuple, k));
    if (position == -1 && PyErr_Occurred()) return false;
    positions.push_back(position);
  }
  return true;
}

// Reads the descriptions of static and floating arguments into `exceptions`. `floating` is a tuple
// of positions, or None for all arguments. Returns false with an error set.
bool read_exceptions(PyObject* positions, PyObject* names, PyObject* floating,
                     Exceptions& exceptions) {
  exceptions.all_floating = floating == Py_None;
  if (!exceptions.all_floating && !PyTuple_Check(floating)) {
    PyErr_SetString(PyExc_TypeError, "floating must be a tuple of ints or None");
    return false;
  }
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(names); ++k) {
    PyObject* const name = PyTuple_GET_ITEM(names, k);
    if (!PyUnicode_Check(name)) {
      PyErr_SetString(PyExc_TypeError, "names must be strings");
      return false;
    }
    exceptions.static_names.push_back(py::reinterpret_borrow<py::object>(name));
  }
  return read_positions(positions, exceptions.static_positions) &&
         (exceptions.all_floating || read_positions(floating, exceptions.floating_positions));
}

extern "C" {

PyObject* function_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"function",     "most_programs", "most_bytes", "static_positions",
                                "static_names", "floating",      nullptr};
  PyObject *function = nullptr, *positions = nullptr, *static_names = nullptr, *floating = nullptr;
  Py_ssize_t most_programs = 0, most_bytes = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OnnO!O!O:Function", const_cast<char**>(names),
                                   &function, &most_programs, &most_bytes, &PyTuple_Type,
                                   &positions, &PyTuple_Type, &static_names, &floating))
    return nullptr;
  if (most_programs < 1 || most_bytes < 0) {
    PyErr_SetString(PyExc_ValueError, "a compiled function must keep at least one program");
    return nullptr;
  }
  return guarded([&]() -> PyObject* {
    auto kept = std::make_unique<Kept>();
    kept->most_programs = static_cast<std::size_t>(most_programs);
    kept->most_bytes = static_cast<std::size_t>(most_bytes);
    if (!read_exceptions(positions, static_names, floating, kept->exceptions)) return nullptr;
    auto* self = as_function(type->tp_alloc(type, 0));
    if (self == nullptr) return nullptr;
    self->kept = kept.release();
    self->function = Py_NewRef(function);
    self->misses = 0;
    return reinterpret_cast<PyObject*>(self);
  });
}

int function_traverse(PyObject* object, visitproc visit, void* arg) {
  Function* self = as_function(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->function);
  if (self->kept != nullptr)
    for (const auto& signature : self->kept->signatures)
      if (const int stop = signature->inputs->traverse(visit, arg)) return stop;
  return 0;
}

int function_clear(PyObject* object) {
  Function* self = as_function(object);
  if (self->kept != nullptr) {
    std::vector<std::shared_ptr<CallSignature>> dropped;
    std::swap(dropped, self->kept->signatures);
  }
  Py_CLEAR(self->function);
  return 0;
}

void function_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  function_clear(object);
  delete as_function(object)->kept;
  PyTypeObject* const type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* function_call(PyObject* object, PyObject* args, PyObject* keywords) {
  Function* self = as_function(object);
  if (self->function == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the compiled function was collected");
    return nullptr;
  }
  // During a recording, the call is part of the function being recorded.
  if (Recording::current != nullptr) {
    const py::object function = py::reinterpret_borrow<py::object>(self->function);
    return PyObject_Call(function.ptr(), args, keywords);
  }
  return guarded([&]() -> PyObject* {
    const auto call = [&](const char* method) {
      const py::object named =
          keywords != nullptr ? py::reinterpret_borrow<py::object>(keywords) : owned(PyDict_New());
      return owned(PyObject_CallMethod(object, method, "OO", args, named.ptr()));
    };
    if (no_grad_on() || anomaly_on()) return call("_switched").release().ptr();
    py::object result = replayed(*self->kept, args, keywords);
    if (result) {
      if (self->misses > 0) --self->misses;
      return result.release().ptr();
    }
    ++self->misses;
    call("_record");
    result = replayed(*self->kept, args, keywords);
    if (!result) {
      PyErr_SetString(PyExc_RuntimeError,
                      "compile(): f took another path when it was run again on the same arguments; "
                      "a compiled function must depend on nothing else");
      throw py::error_already_set();
    }
    return result.release().ptr();
  });
}

// Returns the numbers among the arguments of a call, and the tree definition of the call.
PyObject* function_flatten(PyObject* object, PyObject* arguments) {
  PyObject *args = nullptr, *keywords = nullptr;
  const char* name = nullptr;
  if (!PyArg_ParseTuple(arguments, "O!O!s:_flatten", &PyTuple_Type, &args, &PyDict_Type, &keywords,
                        &name))
    return nullptr;
  return guarded([&]() -> PyObject* {
    auto structure = std::make_shared<TreeDef>();
    std::vector<py::object> numbers;
    structure->add_call(args, keywords, as_function(object)->kept->exceptions, name, numbers);
    const py::object list = owned(PyList_New(static_cast<Py_ssize_t>(numbers.size())));
    for (std::size_t k = 0; k < numbers.size(); ++k)
      PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), numbers[k].release().ptr());
    const py::object tree = py::cast(std::move(structure));
    return owned(PyTuple_Pack(2, list.ptr(), tree.ptr())).release().ptr();
  });
}

PyObject* function_add(PyObject* object, PyObject* args) {
  PyObject *inputs = nullptr, *program = nullptr, *outputs = nullptr;
  if (!PyArg_ParseTuple(args, "OOO:_add", &inputs, &program, &outputs)) return nullptr;
  return guarded([&]() -> PyObject* {
    auto structure = py::handle(inputs).cast<std::shared_ptr<TreeDef>>();
    auto added = py::handle(program).cast<std::shared_ptr<Program>>();
    auto results = py::handle(outputs).cast<std::shared_ptr<TreeDef>>();
    if (added->inputs != structure->size() || added->outputs.size() != results->size())
      throw py::value_error("the program was recorded for other structures");
    Kept& kept = *as_function(object)->kept;
    Dropped dropped;
    drop_dead(kept, dropped);
    // A key with its own equality may call this function, which changes the list.
    std::shared_ptr<CallSignature> signature;
    for (const auto& each : std::vector(kept.signatures))
      if (*each->inputs == *structure) {
        signature = each;
        break;
      }
    auto found = signature ? kept.find(signature->inputs.get()) : kept.signatures.end();
    if (found == kept.signatures.end()) {
      structure->weaken();
      signature = std::make_shared<CallSignature>();
      signature->inputs = std::move(structure);
      found = kept.signatures.insert(found, std::move(signature));
    }
    std::rotate(kept.signatures.begin(), found, found + 1);
    kept.signatures[0]->paths.add(std::move(added), std::move(results), ++kept.clock);
    drop_oldest(kept, dropped);
    Py_RETURN_NONE;
  });
}

PyObject* function_programs(PyObject* object, void*) {
  return guarded([&]() -> PyObject* {
    // All is copied first, since creating objects may run code that calls this function.
    using Each =
        std::tuple<std::shared_ptr<TreeDef>, std::shared_ptr<Program>, std::shared_ptr<TreeDef>>;
    std::vector<Each> each;
    for (const auto& signature : as_function(object)->kept->signatures)
      for (const auto& path : signature->paths.all())
        each.emplace_back(std::const_pointer_cast<TreeDef>(signature->inputs),
                          std::const_pointer_cast<Program>(path->program),
                          std::const_pointer_cast<TreeDef>(
                              std::static_pointer_cast<const TreeDef>(path->attachment)));
    py::list all;
    for (const auto& [inputs, program, outputs] : each)
      all.append(py::make_tuple(inputs, program, outputs));
    return all.release().ptr();
  });
}

PyObject* function_misses(PyObject* object, void*) {
  return PyLong_FromSsize_t(as_function(object)->misses);
}
PyObject* function_wrapped(PyObject* object, void*) {
  PyObject* const function = as_function(object)->function;
  return Py_NewRef(function != nullptr ? function : Py_None);
}

}  // extern "C"

}  // namespace

void register_compiled(py::module_& module) {
  static PyMethodDef methods[] = {{"_add", function_add, METH_VARARGS, nullptr},
                                  {"_flatten", function_flatten, METH_VARARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef attributes[] = {{"_programs", function_programs, nullptr, nullptr, nullptr},
                                     {"_misses", function_misses, nullptr, nullptr, nullptr},
                                     {"__wrapped__", function_wrapped, nullptr, nullptr, nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
  const auto slot = [](int id, auto* pointer) {
    return PyType_Slot{id, const_cast<void*>(reinterpret_cast<const void*>(pointer))};
  };
  PyType_Slot slots[] = {slot(Py_tp_new, function_new),
                         slot(Py_tp_dealloc, function_dealloc),
                         slot(Py_tp_traverse, function_traverse),
                         slot(Py_tp_clear, function_clear),
                         slot(Py_tp_call, function_call),
                         slot(Py_tp_methods, methods),
                         slot(Py_tp_getset, attributes),
                         slot(Py_tp_doc, "A function that replays recorded programs."),
                         {0, nullptr}};
  PyType_Spec specification = {"tapegrad._core.Function", sizeof(Function), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                               slots};
  PyObject* type = PyType_FromModuleAndSpec(module.ptr(), &specification, nullptr);
  if (type == nullptr || PyModule_AddObjectRef(module.ptr(), "Function", type) < 0)
    throw py::error_already_set();
}

}  // namespace tapegrad::python
