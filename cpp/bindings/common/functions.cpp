// The operations of the table as functions: tapegrad.exp(x), tapegrad.sum(values), ...
#include <deque>
#include <string>
#include <vector>

#include <pybind11/pybind11.h>

#include "common/arrays.hpp"
#include "common/signature.hpp"
#include "module.hpp"
#include "traced/traced.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

namespace {

Py_ssize_t parameter_count(const Description& what) {
  Py_ssize_t count = 0;
  while (count < 3 && !what.parameters[static_cast<std::size_t>(count)].empty()) ++count;
  return count;
}

PyObject* mixed(const Description& what) { return set_mixed(std::string(what.name).c_str()); }

PyObject* not_a_number(const Description& what, std::string_view parameter, PyObject* given) {
  if (is_value(given)) return mixed(what);
  PyErr_Format(PyExc_TypeError, "%s(): %s must be a Value or a real number, not '%s'",
               std::string(what.name).c_str(), std::string(parameter).c_str(),
               Py_TYPE(given)->tp_name);
  return nullptr;
}

// The arguments of an n-ary operation. Each node among them is owned, since the iteration over the
// iterables may run code that drops it.
class Gathered {
 public:
  Gathered() = default;
  Gathered(const Gathered&) = delete;
  Gathered& operator=(const Gathered&) = delete;
  ~Gathered() {
    for (const Argument& argument : arguments)
      if (argument.node != no_node) tape().release(argument.node);
  }

  bool add_all(const Description& what, std::string_view parameter, PyObject* iterable) {
    const std::size_t before = arguments.size();
    if (refuse_array_subclass(iterable, std::string(what.name) + "(): " + std::string(parameter)))
      return false;
    PyObject* iterator = PyObject_GetIter(iterable);
    if (iterator == nullptr) {
      if (PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError,
                     "%s(): %s must be an iterable of Values and numbers, not '%s'",
                     std::string(what.name).c_str(), std::string(parameter).c_str(),
                     Py_TYPE(iterable)->tp_name);
      return false;
    }
    while (PyObject* item = PyIter_Next(iterator)) {
      Argument argument;
      Symbol symbol;
      const Reading reading =
          is_traced(item) ? read_symbol(item, recording, symbol) : read_operand(item, argument);
      if (reading == Reading::ok) {
        arguments.push_back(argument);
        symbols.push_back(is_traced(item) ? symbol : Symbol(argument.primal));
        if (argument.node != no_node) {
          tape().own(argument.node);
          any_node = true;
        }
      } else if (reading == Reading::unknown) {
        not_a_number(what,
                     std::string(parameter) + "[" + std::to_string(arguments.size() - before) + "]",
                     item);
      }
      Py_DECREF(item);
      if (reading != Reading::ok) {
        Py_DECREF(iterator);
        return false;
      }
    }
    Py_DECREF(iterator);
    return !PyErr_Occurred();
  }

  std::vector<Argument> arguments;
  std::vector<Symbol> symbols;  // the same arguments, for a recording
  OpenRecording* recording = nullptr;
  bool any_node = false;
};

PyObject* finish(std::size_t k, std::span<const Argument> arguments, bool any_node) {
  if (any_node) return wrap(operation_functions[k].record(tape(), arguments));
  std::vector<double> x;
  for (const Argument& argument : arguments) x.push_back(argument.primal);
  return PyFloat_FromDouble(operation_functions[k].value(x));
}

PyObject* call_n_ary(std::size_t k, PyObject* const* given, Py_ssize_t parameters) {
  const Description& what = ops::descriptions[k];
  Gathered gathered;
  std::size_t lengths[3] = {};
  for (Py_ssize_t j = 0; j < parameters; ++j) {
    const std::size_t before = gathered.arguments.size();
    if (!gathered.add_all(what, what.parameters[static_cast<std::size_t>(j)], given[j]))
      return nullptr;
    lengths[j] = gathered.arguments.size() - before;
    if (j > 0 && lengths[j] != lengths[0]) {
      PyErr_Format(PyExc_ValueError, "%s(): %s has %zu elements and %s has %zu",
                   std::string(what.name).c_str(), std::string(what.parameters[0]).c_str(),
                   lengths[0], std::string(what.parameters[static_cast<std::size_t>(j)]).c_str(),
                   lengths[j]);
      return nullptr;
    }
  }
  if (gathered.arguments.empty()) {
    if (what.empty) return PyFloat_FromDouble(*what.empty);
    PyErr_Format(PyExc_ValueError, "%s(): %s is empty", std::string(what.name).c_str(),
                 std::string(what.parameters[0]).c_str());
    return nullptr;
  }
  if (gathered.recording == nullptr) return finish(k, gathered.arguments, gathered.any_node);
  if (gathered.any_node) return mixed(what);
  return apply_to_symbols(k, *gathered.recording, gathered.symbols);
}

// Applies an operation to arguments of which at least one is traced. An argument that is not given
// is null.
PyObject* call_traced(std::size_t k, PyObject* const* given, Py_ssize_t parameters) {
  const Description& what = ops::descriptions[k];
  OpenRecording* recording = nullptr;
  Symbol symbols[3];
  for (Py_ssize_t j = 0; j < parameters; ++j) {
    if (given[j] == nullptr) {
      symbols[j] = *what.fallback;
      continue;
    }
    const Reading reading = read_symbol(given[j], recording, symbols[j]);
    if (reading == Reading::error) return nullptr;
    if (reading == Reading::unknown)
      return not_a_number(what, what.parameters[static_cast<std::size_t>(j)], given[j]);
  }
  return apply_to_symbols(k, *recording, {symbols, static_cast<std::size_t>(parameters)});
}

template <std::size_t K>
PyObject* function(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return call_operation(K, nullptr, args, count, keywords);
}

template <std::size_t K>
void add_function(PyObject* module) {
  constexpr const Description& what = ops::descriptions[K];
  if constexpr (!what.constant_last && !what.inner) {
    for (const std::string_view name : names_of(what)) {
      auto* definition =
          new PyMethodDef{kept(std::string(name)),
                          reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function<K>)),
                          METH_FASTCALL | METH_KEYWORDS, kept(documentation(what, name, false))};
      PyObject* module_name = PyUnicode_FromString("tapegrad");
      PyObject* object = PyCFunction_NewEx(definition, nullptr, module_name);
      Py_XDECREF(module_name);
      if (object == nullptr || PyModule_AddObject(module, definition->ml_name, object) < 0)
        throw pybind11::error_already_set();
    }
  }
}

}  // namespace

PyObject* call_operation(std::size_t k, PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords) {
  const Description& what = ops::descriptions[k];
  const std::string function(what.name);
  const Py_ssize_t first = self != nullptr ? 1 : 0;
  const Py_ssize_t most = parameter_count(what);
  const char* names[3] = {};
  std::string texts[3];
  for (Py_ssize_t j = first; j < most; ++j) {
    texts[j] = what.parameters[static_cast<std::size_t>(j)];
    names[j - first] = texts[j].c_str();
  }
  PyObject* given[3] = {self};
  const Py_ssize_t least = most - first - (what.fallback ? 1 : 0);
  if (!split_arguments(function.c_str(), args, count, keywords, names, most - first, least,
                       given + first))
    return nullptr;
  return guarded([&]() -> PyObject* {
    if (what.arity == variadic) return call_n_ary(k, given, most);
    for (Py_ssize_t j = 0; j < most; ++j)
      if (given[j] != nullptr && is_traced(given[j])) return call_traced(k, given, most);
    Argument arguments[3];
    bool any_node = false;
    for (Py_ssize_t j = 0; j < most; ++j) {
      if (given[j] == nullptr) {
        arguments[j].primal = *what.fallback;
        continue;
      }
      const Reading reading = read_operand(given[j], arguments[j]);
      if (reading == Reading::error) return nullptr;
      if (reading == Reading::unknown)
        return not_a_number(what, texts[j].empty() ? "x" : texts[j], given[j]);
      any_node |= arguments[j].node != no_node;
    }
    return finish(k, {arguments, static_cast<std::size_t>(most)}, any_node);
  });
}

std::vector<std::string_view> names_of(const Description& what) {
  std::vector<std::string_view> names{what.name};
  if (!what.alias.empty()) names.push_back(what.alias);
  return names;
}

std::string documentation(const Description& what, std::string_view name, bool method) {
  std::string text(name);
  text += method ? "($self" : "(";
  std::string rest;
  for (std::size_t j = method ? 1 : 0; j < what.parameters.size() && !what.parameters[j].empty();
       ++j) {
    if (method || j > 0) rest += ", ";
    rest += what.parameters[j];
    if (what.fallback && (j + 1 == what.parameters.size() || what.parameters[j + 1].empty())) {
      char* number = PyOS_double_to_string(*what.fallback, 'r', 0, 0, nullptr);
      rest += std::string("=") + (number != nullptr ? number : "...");
      PyMem_Free(number);
    }
  }
  text += method ? ", /" + rest : rest;
  text += ")\n--\n\n" + std::string(what.summary);
  return text;
}

const char* kept(std::string text) {
  static std::deque<std::string> texts;
  return texts.emplace_back(std::move(text)).c_str();
}

void register_functions(pybind11::module_& module) {
  pybind11::list exported;
  exported.append("Value");
  for (const Description& what : ops::descriptions)
    if (!what.constant_last && !what.inner)
      for (const std::string_view name : names_of(what)) exported.append(name);
  module.attr("__all__") = exported;
  [&]<std::size_t... K>(std::index_sequence<K...>) { (add_function<K>(module.ptr()), ...); }
  (std::make_index_sequence<ops::count>());
}

}  // namespace tapegrad::python
