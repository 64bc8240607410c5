// Traced numbers: their creation and reuse, operators, comparisons and conversions.
#include "traced/traced.hpp"

#include <cmath>
#include <map>

#include "common/float_methods.hpp"
#include "common/signature.hpp"
#include "module.hpp"
#include "traced/anomalies.hpp"

namespace tapegrad::python {

namespace {

// A free list of dead numbers, linked through `recording`.
Traced* free_traced = nullptr;

bool set_ended() {
  PyErr_SetString(PyExc_RuntimeError,
                  "a traced number is used after its trace has ended: a function that is "
                  "differentiated or compiled must return its results, not store them elsewhere");
  return false;
}

bool set_of_two() {
  PyErr_SetString(PyExc_RuntimeError,
                  "cannot combine traced numbers of different traces: a traced number belongs to "
                  "the thread and to the call of the transform that made it");
  return false;
}

PyObject* set_lost() {
  const Line line = Line::here();
  PyErr_Format(PyExc_TypeError,
               "a traced number is not converted to float at %s, since its derivative would be "
               "lost: use tapegrad.exp(x) in place of math.exp(x), np.zeros_like(x) in place of "
               "np.zeros(n), tapegrad.isnan(x) in place of math.isnan(x), or "
               "tapegrad.stop_gradient(x) for a constant",
               line.is_known() ? line.text().c_str() : "an unknown line");
  return nullptr;
}

// The result of an operation whose instructions begin at `begin`. Null with an error set.
PyObject* finished(OpenRecording& recording, ValueId place, ValueId begin) {
  if (anomaly_on() && !check_recorded(recording, begin, {&place, 1})) return nullptr;
  return result_at(recording, place);
}
PyObject* finished(OpenRecording& recording, ValueId place) {
  return finished(recording, place, place);
}

template <Op code>
PyObject* unary(PyObject* self) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return nullptr;
  return guarded([&] { return finished(*x->recording, x->recording->record<code>(x->place)); });
}

// An operand read from Python: a value of the recording, or a constant if `place` is no_value.
struct TracedOperand {
  ValueId place = no_value;
  double constant = 0.0;

  ValueId in(Recording& recording) const {
    return place == no_value ? recording.constant(constant) : place;
  }
};

Reading read(PyObject* object, OpenRecording*& recording, TracedOperand& operand) {
  if (is_traced(object)) {
    Traced* const x = as_traced(object);
    if (!is_alive(x)) return Reading::error;
    if (recording != nullptr && recording != x->recording)
      return set_of_two() ? Reading::ok : Reading::error;
    recording = x->recording;
    operand.place = x->place;
    return Reading::ok;
  }
  if (PyFloat_CheckExact(object)) {
    operand.constant = PyFloat_AS_DOUBLE(object);
    return Reading::ok;
  }
  return read_number(object, operand.constant);
}

// The result of make(recording, first value, second value) for two operands. Plain numbers among
// them become constants of the recording. NotImplemented for other objects.
template <class Make>
PyObject* of_two(PyObject* a, PyObject* b, Make make) {
  OpenRecording* recording = nullptr;
  TracedOperand x, y;
  for (const auto& [object, operand] : {std::pair(a, &x), std::pair(b, &y)})
    if (const Reading reading = read(object, recording, *operand); reading != Reading::ok) {
      if (reading == Reading::error) return nullptr;
      Py_RETURN_NOTIMPLEMENTED;
    }
  return guarded([&]() -> PyObject* {
    const ValueId p = x.in(*recording), q = y.in(*recording);
    return make(*recording, p, q);
  });
}

template <Op code>
PyObject* binary(PyObject* a, PyObject* b) {
  return of_two(a, b, [](OpenRecording& recording, ValueId p, ValueId q) {
    if constexpr (code == op<"pow">())
      if (q & constant_tag) return finished(recording, recording.record<op<"pow_const">()>(p, q));
    return finished(recording, recording.record<code>(p, q));
  });
}

PyObject* floor_divide(PyObject* a, PyObject* b) {
  const auto divide = [](OpenRecording& recording, ValueId p, ValueId q) -> PyObject* {
    const bool by_zero = recording.primal(q) == 0.0;
    if (!(q & constant_tag) && recording.guarding)
      told(recording, Guard::equal, q, recording.constant(0.0));
    if (by_zero) {
      PyErr_SetString(PyExc_ZeroDivisionError, "float floor division by zero");
      return nullptr;
    }
    return PyFloat_FromDouble(told(recording, Guard::quotient, p, q));
  };
  return of_two(a, b, divide);
}

extern "C" {

void traced_dealloc(PyObject* self) {
  Traced* const traced = as_traced(self);
  if (traced->id == traced->recording->id) --traced->recording->passing[traced->level].alive;
  traced->recording = reinterpret_cast<OpenRecording*>(free_traced);
  free_traced = traced;
}

PyObject* traced_add(PyObject* a, PyObject* b) { return binary<op<"add">()>(a, b); }
PyObject* traced_subtract(PyObject* a, PyObject* b) { return binary<op<"sub">()>(a, b); }
PyObject* traced_multiply(PyObject* a, PyObject* b) { return binary<op<"mul">()>(a, b); }
PyObject* traced_divide(PyObject* a, PyObject* b) { return binary<op<"div">()>(a, b); }
PyObject* traced_remainder(PyObject* a, PyObject* b) { return binary<op<"remainder">()>(a, b); }
PyObject* traced_floor_divide(PyObject* a, PyObject* b) { return floor_divide(a, b); }
PyObject* traced_divmod(PyObject* a, PyObject* b) {
  PyObject* quotient = floor_divide(a, b);
  if (quotient == nullptr || quotient == Py_NotImplemented) return quotient;
  PyObject* rest = traced_remainder(a, b);
  PyObject* both = rest != nullptr ? PyTuple_Pack(2, quotient, rest) : nullptr;
  Py_DECREF(quotient);
  Py_XDECREF(rest);
  return both;
}
PyObject* traced_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary<op<"pow">()>(a, b);
}
PyObject* traced_negative(PyObject* self) { return unary<op<"neg">()>(self); }
PyObject* traced_absolute(PyObject* self) { return unary<op<"abs">()>(self); }
PyObject* traced_positive(PyObject* self) {
  return is_alive(as_traced(self)) ? Py_NewRef(self) : nullptr;
}

int traced_bool(PyObject* self) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return -1;
  return guarded(
      [&] {
        OpenRecording& r = *x->recording;
        if (!r.guarding) return primal_of(x) != 0.0 ? 1 : 0;
        return told(r, Guard::equal, x->place, r.constant(0.0)) == 0.0 ? 1 : 0;
      },
      -1);
}

// The number as a float, for uses that lose no derivative, such as its text, hash or index.
PyObject* digits(PyObject* self) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return nullptr;
  return guarded([&] { return PyFloat_FromDouble(answer(x, Guard::digits)); });
}

// The number as a float, a constant from here on. Raises TypeError if this would lose a derivative.
PyObject* traced_float(PyObject* self) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return nullptr;
  return guarded([&]() -> PyObject* {
    OpenRecording& recording = *x->recording;
    if (no_grad_on()) return digits(self);
    if (recording.dependence.is_differentiated(recording, x->place)) return set_lost();
    const bool kept = !recording.dependence.depends_on_inputs(recording, x->place);
    return PyFloat_FromDouble(answer(x, kept ? Guard::digits : Guard::value));
  });
}

PyObject* whole(PyObject* self, Guard::Kind kind) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return nullptr;
  return guarded([&] { return PyLong_FromDouble(answer(x, kind)); });
}
PyObject* traced_int(PyObject* self) { return whole(self, Guard::truncated); }
PyObject* traced_trunc(PyObject* self, PyObject*) { return whole(self, Guard::truncated); }
PyObject* traced_floor(PyObject* self, PyObject*) { return whole(self, Guard::floored); }
PyObject* traced_ceil(PyObject* self, PyObject*) { return whole(self, Guard::ceiled); }

// The number as an index. Its digits are a guard, since a replay must use the same index.
PyObject* traced_index(PyObject* self) {
  Traced* const x = as_traced(self);
  if (!is_alive(x)) return nullptr;
  const bool is_whole = guarded([&] { return tells_whole(x); });
  if (PyErr_Occurred()) return nullptr;
  if (!is_whole) {
    PyObject* number = PyFloat_FromDouble(primal_of(x));
    if (number != nullptr)
      PyErr_Format(PyExc_TypeError, "a traced number of value %R is no index: it is not whole",
                   number);
    Py_XDECREF(number);
    return nullptr;
  }
  return guarded([&] { return PyLong_FromDouble(answer(x, Guard::digits)); });
}

PyObject* traced_round(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "__round__() takes at most 1 argument (%zd given)", count);
    return nullptr;
  }
  if (count == 0 || args[0] == Py_None) return whole(self, Guard::rounded);
  PyObject* number = digits(self);
  if (number == nullptr) return nullptr;
  PyObject* result = PyObject_CallMethod(number, "__round__", "O", args[0]);
  Py_DECREF(number);
  return result;
}

Py_hash_t traced_hash(PyObject* self) {
  PyObject* number = digits(self);
  if (number == nullptr) return -1;
  const Py_hash_t hash = PyObject_Hash(number);
  Py_DECREF(number);
  return hash;
}

PyObject* traced_richcompare(PyObject* a, PyObject* b, int comparison) {
  OpenRecording* recording = nullptr;
  TracedOperand x, y;
  const Reading left = read(a, recording, x);
  if (left == Reading::error) return nullptr;
  Reading right = read(b, recording, y);
  if (right == Reading::error) {
    // Compare an int that is too large for a float with the number as Python does.
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return nullptr;
    PyErr_Clear();
    PyObject* number = digits(a);
    PyObject* result = number != nullptr ? PyObject_RichCompare(number, b, comparison) : nullptr;
    Py_XDECREF(number);
    return result;
  }
  if (right == Reading::unknown) Py_RETURN_NOTIMPLEMENTED;
  return guarded([&]() -> PyObject* {
    const ValueId p = x.in(*recording), q = y.in(*recording);
    const auto is = [&](Guard::Kind kind, ValueId one, ValueId other) {
      return told(*recording, kind, one, other) != 0.0;
    };
    bool result = false;
    switch (comparison) {
      case Py_LT:
        result = is(Guard::less, p, q);
        break;
      case Py_LE:
        result = is(Guard::less_equal, p, q);
        break;
      case Py_GT:
        result = is(Guard::less, q, p);
        break;
      case Py_GE:
        result = is(Guard::less_equal, q, p);
        break;
      case Py_EQ:
        result = is(Guard::equal, p, q);
        break;
      default:
        result = !is(Guard::equal, p, q);
    }
    return PyBool_FromLong(result);
  });
}

// The text of the float. Its digits are a guard, since a function may branch on the text.
PyObject* traced_repr(PyObject* self) {
  const Traced* const x = as_traced(self);
  if (x->id != x->recording->open_id)
    return PyUnicode_FromString("Traced(of a trace that has ended)");
  PyObject* number = digits(self);
  if (number == nullptr) return nullptr;
  PyObject* result = PyObject_Repr(number);
  Py_DECREF(number);
  return result;
}

PyObject* traced_format(PyObject* self, PyObject* specification) {
  if (PyUnicode_Check(specification) && PyUnicode_GET_LENGTH(specification) == 0)
    return PyObject_Str(self);
  PyObject* number = digits(self);
  if (number == nullptr) return nullptr;
  PyObject* text = PyObject_Format(number, specification);
  Py_DECREF(number);
  return text;
}

PyObject* traced_data(PyObject* self, void*) { return digits(self); }

// A copy is the number itself, as for a float.
PyObject* traced_itself(PyObject* self, PyObject*) { return Py_NewRef(self); }

PyObject* traced_reduce(PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "a traced number cannot be pickled: it belongs to its trace");
  return nullptr;
}

}  // extern "C"

template <std::size_t K>
PyObject* unary_method(PyObject* self, PyObject*) {
  return unary<static_cast<Op>(K)>(self);
}

template <std::size_t K>
PyObject* method(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return call_operation(K, self, args, count, keywords);
}

template <std::size_t K>
void add_methods(std::vector<PyMethodDef>& methods) {
  constexpr const Description& what = ops::descriptions[K];
  if constexpr (what.arity != variadic && !what.constant_last && !what.inner)
    for (const std::string_view name : names_of(what)) {
      PyMethodDef definition{};
      definition.ml_name = kept(std::string(name));
      definition.ml_doc = kept(documentation(what, name, true));
      if constexpr (what.arity == 1) {
        definition.ml_meth = unary_method<K>;
        definition.ml_flags = METH_NOARGS;
      } else {
        definition.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method<K>));
        definition.ml_flags = METH_FASTCALL | METH_KEYWORDS;
      }
      methods.push_back(definition);
    }
}

template <std::size_t K>
Symbol apply_entry(std::span<const Symbol> x) {
  constexpr Op code = static_cast<Op>(K);
  constexpr std::size_t count = operand_count(code);
  if constexpr (ops::descriptions[K].arity == variadic) return entry<code>.value(x);
  else if constexpr (count == 1) return Symbol::apply<code>(x[0]);
  else if constexpr (count == 2) return Symbol::apply<code>(x[0], x[1]);
  else return Symbol::apply<code>(x[0], x[1], x[2]);
}

constexpr auto applications = []<std::size_t... K>(std::index_sequence<K...>) {
  return std::array<Symbol (*)(std::span<const Symbol>), sizeof...(K)>{apply_entry<K>...};
}
(std::make_index_sequence<ops::count>());

}  // namespace

bool is_alive(const Traced* traced) {
  return traced->id == traced->recording->open_id || set_ended();
}

PyObject* traced_at(OpenRecording& recording, ValueId place) {
  Traced* traced = free_traced;
  if (traced != nullptr) {
    free_traced = reinterpret_cast<Traced*>(traced->recording);
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(traced), 1);
  } else {
    traced = PyObject_New(Traced, traced_type);
    if (traced == nullptr) return nullptr;
  }
  traced->recording = &recording;
  traced->id = recording.id;
  traced->place = place;
  // The innermost rollback scope that contains the number. One recorded before a scope survives its
  // rollback.
  std::size_t level = recording.passing.size() - 1;
  while (place < recording.passing[level].begin) --level;
  traced->level = static_cast<std::uint32_t>(level);
  ++recording.passing[level].alive;
  return reinterpret_cast<PyObject*>(traced);
}

PyObject* result_at(OpenRecording& recording, ValueId place) {
  return traced_at(recording, no_grad_on() ? recording.record<op<"stop">()>(place) : place);
}

PyObject* set_mixed(const char* function) {
  PyErr_Format(PyExc_TypeError,
               "%s(): a Value and a traced number cannot be arguments of one operation", function);
  return nullptr;
}

PyObject* object_of(OpenRecording& recording, const Symbol& symbol) {
  return symbol.is_constant() ? PyFloat_FromDouble(symbol.primal())
                              : traced_at(recording, symbol.place());
}

Reading read_symbol(PyObject* object, OpenRecording*& recording, Symbol& symbol) {
  TracedOperand operand;
  const Reading reading = read(object, recording, operand);
  if (reading == Reading::ok)
    symbol = operand.place == no_value ? Symbol(operand.constant)
                                       : Symbol(recording->primal(operand.place), operand.place);
  return reading;
}

bool tells_whole(Traced* x) {
  OpenRecording& recording = *x->recording;
  const double number = primal_of(x);
  if (!recording.guarding) return std::isfinite(number) && number == std::trunc(number);
  const ValueId rest = recording.record<op<"remainder">()>(x->place, recording.constant(1.0));
  return told(recording, Guard::equal, rest, recording.constant(0.0)) != 0.0;
}

OpenRecording::OpenRecording() {
  asked_ = [](Recording& recording, Guard::Kind kind, ValueId x, ValueId y) {
    return told(static_cast<OpenRecording&>(recording), kind, x, y);
  };
}

double told(OpenRecording& recording, Guard::Kind kind, ValueId x, ValueId y) {
  const double outcome =
      observe(kind, recording.primal(x), y == no_value ? 0.0 : recording.primal(y));
  if (recording.guarding) recording.guard({kind, source_here(), {x, y}, outcome});
  return outcome;
}

PyObject* apply_to_symbols(std::size_t k, OpenRecording& recording, std::span<const Symbol> x) {
  const RecordingIn here(recording);
  const ValueId begin = recording.size();
  const Symbol result = applications[k](x);
  if (result.is_constant()) return PyFloat_FromDouble(result.primal());
  return finished(recording, result.place(), begin);
}

std::uint32_t source_here() {
  PyFrameObject* const frame = PyEval_GetFrame();
  if (frame == nullptr || Recording::current == nullptr) return ~std::uint32_t{0};
  auto* const code = reinterpret_cast<PyObject*>(PyFrame_GetCode(frame));
  const std::uint32_t source = static_cast<OpenRecording*>(Recording::current)
                                   ->sources.of(code, PyFrame_GetLineNumber(frame));
  Py_DECREF(code);
  return source;
}

void register_traced(pybind11::module_& module) {
  if (traced_type == nullptr) {
    const auto slot = [](int id, auto* pointer) {
      return PyType_Slot{id, const_cast<void*>(reinterpret_cast<const void*>(pointer))};
    };
    static std::vector<PyMethodDef> methods;
    [&]<std::size_t... K>(std::index_sequence<K...>) { (add_methods<K>(methods), ...); }
    (std::make_index_sequence<ops::count>());
    for (const PyMethodDef& definition : float_methods()) methods.push_back(definition);
    const auto fast = [](auto* function) {
      return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
    };
    for (const PyMethodDef& definition : std::initializer_list<PyMethodDef>{
             {"__round__", fast(traced_round), METH_FASTCALL, nullptr},
             {"__trunc__", traced_trunc, METH_NOARGS, nullptr},
             {"__floor__", traced_floor, METH_NOARGS, nullptr},
             {"__ceil__", traced_ceil, METH_NOARGS, nullptr},
             {"__format__", traced_format, METH_O, nullptr},
             {"__copy__", traced_itself, METH_NOARGS, nullptr},
             {"__deepcopy__", traced_itself, METH_O, nullptr},
             {"__reduce_ex__", traced_reduce, METH_O, nullptr},
             {nullptr, nullptr, 0, nullptr}})
      methods.push_back(definition);
    static std::vector<PyGetSetDef> attributes = float_attributes(false);
    for (const PyGetSetDef& definition : std::initializer_list<PyGetSetDef>{
             {"data", traced_data, nullptr,
              "The number as a float, a constant with respect to which derivatives are 0.",
              nullptr},
             {nullptr, nullptr, nullptr, nullptr, nullptr}})
      attributes.push_back(definition);
    PyType_Slot slots[] = {
        slot(Py_tp_dealloc, traced_dealloc),
        slot(Py_nb_add, traced_add),
        slot(Py_nb_subtract, traced_subtract),
        slot(Py_nb_multiply, traced_multiply),
        slot(Py_nb_true_divide, traced_divide),
        slot(Py_nb_remainder, traced_remainder),
        slot(Py_nb_floor_divide, traced_floor_divide),
        slot(Py_nb_divmod, traced_divmod),
        slot(Py_nb_power, traced_power),
        slot(Py_nb_negative, traced_negative),
        slot(Py_nb_absolute, traced_absolute),
        slot(Py_nb_positive, traced_positive),
        slot(Py_nb_bool, traced_bool),
        slot(Py_nb_float, traced_float),
        slot(Py_nb_int, traced_int),
        slot(Py_nb_index, traced_index),
        slot(Py_tp_hash, traced_hash),
        slot(Py_tp_richcompare, traced_richcompare),
        slot(Py_tp_repr, traced_repr),
        slot(Py_tp_methods, methods.data()),
        slot(Py_tp_getset, attributes.data()),
        slot(Py_tp_doc,
             "A number inside a transform or a compiled function: it behaves as a "
             "float, and operations on it are recorded."),
        {0, nullptr}};
    PyType_Spec specification = {"tapegrad.Traced", sizeof(Traced), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    PyObject* type = PyType_FromModuleAndSpec(module.ptr(), &specification, nullptr);
    if (type == nullptr) throw pybind11::error_already_set();
    traced_type = reinterpret_cast<PyTypeObject*>(type);
    traced_type->tp_name = "Traced";
  }
  if (PyModule_AddObjectRef(module.ptr(), "Traced", reinterpret_cast<PyObject*>(traced_type)) < 0)
    throw pybind11::error_already_set();
}

}  // namespace tapegrad::python
