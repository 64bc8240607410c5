// Programs as Python sees them, and functions that replay them.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>

#include "module.hpp"
#include "tapegrad/paths.hpp"
#include "trees.hpp"

namespace tapegrad::python {

namespace {

constexpr const char* guard_names[] = {"<",     "<=",   "==",    "float", "int",
                                       "floor", "ceil", "round", "//",    "digits"};

py::list instructions(const Program& program) {
  py::list all;
  const tapegrad::Place* operand = program.operands.data();
  std::size_t result = program.constants.size() + program.inputs;
  for (const Program::Run& run : program.runs)
    for (std::uint32_t k = 0; k < run.count; ++k, ++result) {
      py::tuple operands(operand_count(run.op));
      for (std::size_t j = 0; j < operands.size(); ++j) operands[j] = *operand++;
      all.append(py::make_tuple(description(run.op)->name, result, operands));
    }
  return all;
}

py::list guards(const Program& program) {
  py::list all;
  for (const Guard& guard : program.guards) {
    py::list operands;
    for (const tapegrad::Place operand : guard.operand)
      if (operand != no_place) operands.append(operand);
    all.append(py::make_tuple(guard_names[guard.kind], py::tuple(operands), guard.outcome,
                              source_text(guard.source)));
  }
  return all;
}

// What a compiled function keeps for each structure of its arguments.
struct Signature {
  std::shared_ptr<Structure> inputs;
  Paths paths;
};

struct Function {
  PyObject_HEAD
  std::vector<std::unique_ptr<Signature>>* signatures;  // the last used first
  PyObject* function;
  std::size_t limit;
  Py_ssize_t misses;  // one more for each recording, one less for each replay
};

Function* as_function(PyObject* object) { return reinterpret_cast<Function*>(object); }

// A result that was replayed; null, with no error set, where nothing fits.
py::object replayed(Function* self, py::handle args, py::handle keywords) {
  auto& signatures = *self->signatures;
  std::array<double, 32> few;
  std::vector<double> many;
  for (std::size_t k = 0; k < signatures.size(); ++k) {
    const std::shared_ptr<Structure> structure = signatures[k]->inputs;
    const std::size_t count = structure->size();
    if (count > few.size()) many.resize(count);
    double* const numbers = count > few.size() ? many.data() : few.data();
    double* end = numbers;
    if (!structure->read_call(args, keywords, end)) continue;
    // Reading may have run code that called this function.
    const auto found =
        std::find_if(signatures.begin(), signatures.end(),
                     [&](const auto& signature) { return signature->inputs == structure; });
    if (found == signatures.end()) return {};
    std::rotate(signatures.begin(), found, found + 1);
    Path* const path = signatures[0]->paths.replay({numbers, count});
    if (path == nullptr) return {};
    // Making objects may run code that replays the same path: first, all is copied.
    const auto output = std::static_pointer_cast<const Structure>(path->attachment);
    const auto& places = path->program->outputs;
    std::array<double, 32> few_results;
    std::vector<double> many_results(places.size() > few_results.size() ? places.size() : 0);
    double* const results = many_results.empty() ? few_results.data() : many_results.data();
    for (std::size_t j = 0; j < places.size(); ++j) results[j] = path->numbers[places[j]];
    return output->unflatten(results);
  }
  return {};
}

// Runs what may throw pybind11's way.
template <class Call>
PyObject* translated(Call call) {
  try {
    return call();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
}

extern "C" {

PyObject* function_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"function", "limit", nullptr};
  PyObject* function = nullptr;
  Py_ssize_t limit = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "On:Function", const_cast<char**>(names),
                                   &function, &limit))
    return nullptr;
  if (limit < 1) {
    PyErr_Format(PyExc_ValueError, "limit must be at least 1, not %zd", limit);
    return nullptr;
  }
  auto* self = as_function(type->tp_alloc(type, 0));
  if (self == nullptr) return nullptr;
  self->signatures = new (std::nothrow) std::vector<std::unique_ptr<Signature>>;
  self->function = Py_NewRef(function);
  self->limit = static_cast<std::size_t>(limit);
  self->misses = 0;
  if (self->signatures == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return reinterpret_cast<PyObject*>(self);
}

int function_traverse(PyObject* object, visitproc visit, void* arg) {
  Function* self = as_function(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->function);
  if (self->signatures != nullptr)
    for (const auto& signature : *self->signatures)
      if (const int stop = signature->inputs->traverse(visit, arg)) return stop;
  return 0;
}

int function_clear(PyObject* object) {
  Function* self = as_function(object);
  if (self->signatures != nullptr) {
    std::vector<std::unique_ptr<Signature>> dropped;
    std::swap(dropped, *self->signatures);
  }
  Py_CLEAR(self->function);
  return 0;
}

void function_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  function_clear(object);
  delete as_function(object)->signatures;
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
  // Inside a trace it is part of what is recorded there.
  if (Recording::current != nullptr) return PyObject_Call(self->function, args, keywords);
  return translated([&]() -> PyObject* {
    const py::handle me(object);
    const auto call = [&](const char* method) {
      return me.attr(method)(py::handle(args), keywords != nullptr
                                                   ? py::reinterpret_borrow<py::object>(keywords)
                                                   : py::object(py::dict()));
    };
    if (no_grad_on || anomaly_on) return call("_switched").release().ptr();
    py::object result = replayed(self, args, keywords);
    if (result) {
      if (self->misses > 0) --self->misses;
      return result.release().ptr();
    }
    ++self->misses;
    call("_record");
    result = replayed(self, args, keywords);
    if (!result) {
      PyErr_SetString(PyExc_RuntimeError,
                      "a compiled function was told other things when it ran again on the same "
                      "arguments: it must depend on nothing else");
      throw py::error_already_set();
    }
    return result.release().ptr();
  });
}

PyObject* function_add(PyObject* object, PyObject* args) {
  Function* self = as_function(object);
  PyObject *inputs = nullptr, *program = nullptr, *outputs = nullptr;
  if (!PyArg_ParseTuple(args, "OOO:_add", &inputs, &program, &outputs)) return nullptr;
  return translated([&]() -> PyObject* {
    auto structure = py::handle(inputs).cast<std::shared_ptr<Structure>>();
    auto added = py::handle(program).cast<std::shared_ptr<Program>>();
    auto results = py::handle(outputs).cast<std::shared_ptr<Structure>>();
    if (added->inputs != structure->size() || added->outputs.size() != results->size())
      throw py::value_error("the program is of other structures");
    auto& signatures = *self->signatures;
    auto found = std::find_if(signatures.begin(), signatures.end(), [&](const auto& signature) {
      return *signature->inputs == *structure;
    });
    if (found == signatures.end()) {
      signatures.insert(signatures.begin(), std::make_unique<Signature>());
      found = signatures.begin();
      (*found)->inputs = std::move(structure);
    }
    std::rotate(signatures.begin(), found, found + 1);
    signatures[0]->paths.add(std::move(added), std::move(results));
    std::size_t count = 0;
    for (const auto& signature : signatures) count += signature->paths.all().size();
    // The least recently used one goes: of the structure that was used least recently.
    if (count > self->limit) {
      signatures.back()->paths.drop_last();
      if (signatures.back()->paths.all().empty()) signatures.pop_back();
    }
    Py_RETURN_NONE;
  });
}

PyObject* function_programs(PyObject* object, void*) {
  return translated([&]() -> PyObject* {
    py::list all;
    for (const auto& signature : *as_function(object)->signatures)
      for (const auto& path : signature->paths.all())
        all.append(py::make_tuple(signature->inputs, path->program,
                                  std::static_pointer_cast<const Structure>(path->attachment)));
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

void register_programs(py::module_& module) {
  py::class_<Program, std::shared_ptr<Program>>(module, "Program", "A recording made ready to run.")
      .def("__len__", &Program::size)
      .def_readonly("constants", &Program::constants)
      .def_readonly("inputs", &Program::inputs)
      .def_readonly("outputs", &Program::outputs)
      .def_property_readonly("bytes", &Program::bytes)
      .def_property_readonly("runs", [](const Program& self) { return self.runs.size(); })
      .def_property_readonly("instructions", instructions)
      .def_property_readonly("guards", guards)
      .def(
          "__call__",
          [](const std::shared_ptr<Program>& self, const std::vector<double>& inputs) {
            if (inputs.size() != self->inputs)
              throw py::value_error("the program has " + std::to_string(self->inputs) +
                                    " inputs, not " + std::to_string(inputs.size()));
            Path path(self, nullptr);
            if (path.replay(inputs) != Program::all_hold) return py::object(py::none());
            py::list results;
            for (const tapegrad::Place output : self->outputs) results.append(path.numbers[output]);
            return py::object(std::move(results));
          },
          py::arg("numbers"), "The outputs for these inputs; None where a guard is broken.");

  static PyMethodDef methods[] = {{"_add", function_add, METH_VARARGS, nullptr},
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
                         slot(Py_tp_doc, "A function that replays what it did before."),
                         {0, nullptr}};
  PyType_Spec specification = {"tapegrad._core.Function", sizeof(Function), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                               slots};
  PyObject* type = PyType_FromModuleAndSpec(module.ptr(), &specification, nullptr);
  if (type == nullptr || PyModule_AddObjectRef(module.ptr(), "Function", type) < 0)
    throw py::error_already_set();
}

}  // namespace tapegrad::python
