// The Python interface of losses: mse_loss(), cross_entropy(), ...
#include <string>

#include <pybind11/pybind11.h>

#include "module.hpp"
#include "nn/results.hpp"
#include "nn/sequences.hpp"
#include "tapegrad/detail/nn/layers.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

namespace {

bool read_reduction(const char* function, PyObject* given, Reduction& reduction) {
  reduction = Reduction::mean;
  if (given == nullptr) return true;
  if (!PyUnicode_Check(given)) {
    PyErr_Format(PyExc_TypeError, "%s(): reduction must be a str, not '%s'", function,
                 Py_TYPE(given)->tp_name);
    return false;
  }
  for (const auto& [name, named] :
       {std::pair("mean", Reduction::mean), std::pair("sum", Reduction::sum),
        std::pair("none", Reduction::none)}) {
    if (PyUnicode_CompareWithASCIIString(given, name) != 0) continue;
    reduction = named;
    return true;
  }
  PyErr_Format(PyExc_ValueError, "%s(): reduction must be 'mean', 'sum' or 'none', not %R",
               function, given);
  return false;
}

template <class Row>
PyObject* result_of(Row& out, Reduction reduction) {
  return reduction == Reduction::none ? list_of(out) : scalar_of(out);
}

// A loss of two rows with one term for each pair of elements. `check` returns false, with an error
// set, for targets that the loss does not accept.
template <class Row, class Loss, class Check>
PyObject* of_pairs(typename Row::Engine& engine, const char* function,
                   const char* const (&names)[4], PyObject* const* given, Loss loss, Check check) {
  const ArgumentName place{function, names[0]}, target_place{function, names[1]};
  Reduction reduction;
  Row xs(engine), targets(engine), out(engine);
  if (!read_reduction(function, given[2], reduction) || !read_row(given[0], place, xs) ||
      !read_row(given[1], target_place, targets) ||
      lengths_differ(target_place, targets.size(), place, xs.size()) ||
      !check(engine, targets, target_place))
    return nullptr;
  loss(engine, xs, targets, reduction, out);
  return result_of(out, reduction);
}

constexpr auto any_target = [](auto&, const auto&, const ArgumentName&) { return true; };

double number_of(const Argument& x) { return x.primal; }
double number_of(const Symbol& x) { return x.primal(); }

bool is_sign(Tape&, const Argument& x) { return x.primal == 1.0 || x.primal == -1.0; }
// In a recording with guards, the answer is a guard on the magnitude: a program recorded for one
// sign accepts the other.
bool is_sign(Recording& recording, const Symbol& x) {
  const Symbol size = apply<op<"abs">()>(recording, x);
  if (size.is_constant()) return size.primal() == 1.0;
  return told(static_cast<OpenRecording&>(recording), Guard::equal, size.place(),
              recording.constant(1.0)) != 0.0;
}

constexpr auto are_signs = [](auto& engine, const auto& targets, const ArgumentName& place) {
  for (std::size_t k = 0; k < targets.size(); ++k) {
    if (is_sign(engine, targets[k])) continue;
    const pybind11::float_ number(number_of(targets[k]));
    PyErr_Format(PyExc_ValueError, "%s must be 1 or -1, not %R",
                 place.text(static_cast<Py_ssize_t>(k)).c_str(), number.ptr());
    return false;
  }
  return true;
};

constexpr const char* prediction_names[4] = {"predictions", "targets", "reduction"};
constexpr const char* score_names[4] = {"scores", "targets", "reduction"};
constexpr const char* logit_names[4] = {"logits", "targets", "reduction"};

template <class Row>
PyObject* mse_loss(typename Row::Engine& engine, PyObject* const* given) {
  return of_pairs<Row>(
      engine, "mse_loss", prediction_names, given,
      [](auto& engine, const Row& predictions, const Row& targets, Reduction reduction, Row& out) {
        Row both(engine);
        both.reserve(2 * targets.size());
        for (const Row* row : {&predictions, &targets})
          for (const auto& x : *row) both.add(x);
        layers::mse_loss(engine, both, reduction, out);
      },
      any_target);
}

template <class Row>
PyObject* hinge_loss(typename Row::Engine& engine, PyObject* const* given) {
  return of_pairs<Row>(engine, "hinge_loss", score_names, given, layers::hinge_loss<Row>,
                       are_signs);
}

template <class Row>
PyObject* binary_cross_entropy(typename Row::Engine& engine, PyObject* const* given) {
  return of_pairs<Row>(engine, "binary_cross_entropy_with_logits", logit_names, given,
                       layers::binary_cross_entropy<Row>, any_target);
}

constexpr char cross_entropy_name[] = "cross_entropy";

// True for one number, Values and traced numbers included. Sets no error.
bool is_scalar(PyObject* object) {
  if (is_traced(object)) return true;
  Argument argument;
  const Reading reading = read_operand(object, argument);
  if (reading == Reading::error) PyErr_Clear();  // reading the object again reports the error
  return reading != Reading::unknown;
}

// True for a class index: an instance of any integer type, but no Value or float. A traced number
// counts as one, and its conversion to an index checks that it is whole.
bool is_class(PyObject* target) {
  return PyLong_Check(target) || (PyIndex_Check(target) && !is_value(target) && is_scalar(target));
}

bool read_class(PyObject* target, const ArgumentName& place, std::size_t classes,
                std::size_t& out) {
  const Py_ssize_t index = PyNumber_AsSsize_t(target, PyExc_IndexError);
  if (index == -1 && PyErr_Occurred()) return false;
  if (index < 0 || static_cast<std::size_t>(index) >= classes) {
    PyErr_Format(PyExc_IndexError, "%s is %zd, out of range for %zu classes", place.text().c_str(),
                 index, classes);
    return false;
  }
  out = static_cast<std::size_t>(index);
  return true;
}

// Appends the loss of one row of logits. Returns false with an error set.
template <class Row>
bool add_cross_entropy(typename Row::Engine& engine, PyObject* given_logits,
                       const ArgumentName& place, PyObject* target,
                       const ArgumentName& target_place, Row& out) {
  Row logits(engine);
  if (!read_row(given_logits, place, logits)) return false;
  if (is_class(target)) {
    std::size_t index = 0;
    if (!read_class(target, target_place, logits.size(), index)) return false;
    layers::cross_entropy(engine, logits, index, out);
    return true;
  }
  Sequence sequence;
  Row probabilities(engine);
  if (!sequence.open(target, target_place, "probabilities, or a class index") ||
      !read_all(sequence, target_place, probabilities) ||
      lengths_differ(target_place, probabilities.size(), place, logits.size()))
    return false;
  layers::cross_entropy(engine, logits, probabilities, out);
  return true;
}

// The loss of a batch: rows of logits with one target each.
template <class Row>
PyObject* of_batch(typename Row::Engine& engine, const Sequence& logits, const Sequence& targets,
                   const ArgumentName& place, const ArgumentName& target_place,
                   Reduction reduction) {
  const std::size_t count = logits.size();
  if (lengths_differ(target_place, targets.size(), place, count)) return nullptr;
  Row terms(engine), out(engine);
  for (std::size_t i = 0; i < count; ++i) {
    if (logits.size() != count) return changed(place), nullptr;
    if (targets.size() != count) return changed(target_place), nullptr;
    const auto row = static_cast<Py_ssize_t>(i);
    const auto item = pybind11::reinterpret_borrow<pybind11::object>(logits.items()[i]);
    const auto target = pybind11::reinterpret_borrow<pybind11::object>(targets.items()[i]);
    if (!add_cross_entropy(engine, item.ptr(), {place.function, place.argument, row}, target.ptr(),
                           {target_place.function, target_place.argument, row}, terms))
      return nullptr;
  }
  layers::reduce(engine, terms, reduction, out);
  return result_of(out, reduction);
}

template <class Row>
PyObject* cross_entropy(typename Row::Engine& engine, PyObject* const* given) {
  const ArgumentName place{cross_entropy_name, "logits"},
      target_place{cross_entropy_name, "target"};
  Reduction reduction;
  Sequence logits;
  if (!read_reduction(cross_entropy_name, given[2], reduction) ||
      !logits.open(given[0], place, "Values and numbers, or of rows of them"))
    return nullptr;
  const bool one_row = is_class(given[1]) || (logits.size() > 0 && is_scalar(logits.items()[0]));
  if (one_row) {
    Row out(engine);
    return add_cross_entropy(engine, logits.object(), place, given[1], target_place, out)
               ? scalar_of(out)
               : nullptr;
  }
  Sequence targets;
  if (!targets.open(given[1], target_place, "targets, or a class index")) return nullptr;
  return of_batch<Row>(engine, logits, targets, place, target_place, reduction);
}

constexpr LayerSignature<mse_loss<Row>, mse_loss<SymbolRow>> mse_signature{
    "mse_loss",
    {"predictions", "targets", "reduction"},
    2,
    "mse_loss(predictions, targets, reduction='mean')\n--\n\n"
    "Return the mean squared error, the mean of (prediction - target)**2.\n\n"
    "`predictions` and `targets` are iterables of Values and numbers of the same length. `reduction` is\n"
    "'mean', 'sum', or 'none' for the list of losses. The mean of no losses is nan, as in PyTorch. Raises\n"
    "ValueError for lengths that differ and for an unknown reduction.\n\n"
    ">>> from tapegrad import Value, mse_loss\n"
    ">>> p = Value(3.0)\n"
    ">>> loss = mse_loss([p, 1.0], [1.0, 1.0])\n"
    ">>> loss.backward()\n"
    ">>> loss, p.grad\n"
    "(Value(data=2.0), 2.0)"};

constexpr LayerSignature<hinge_loss<Row>, hinge_loss<SymbolRow>> hinge_signature{
    "hinge_loss",
    {"scores", "targets", "reduction"},
    2,
    "hinge_loss(scores, targets, reduction='mean')\n--\n\n"
    "Return the mean hinge loss, the mean of max(0, 1 - target * score).\n\n"
    "Each target is 1 or -1. `reduction` is as in `mse_loss`. The derivative at the kink is 0. Raises\n"
    "ValueError for lengths that differ and for any other target.\n\n"
    ">>> from tapegrad import hinge_loss\n"
    ">>> hinge_loss([2.0, 0.5], [1, -1])\n"
    "0.75"};

constexpr LayerSignature<binary_cross_entropy<Row>, binary_cross_entropy<SymbolRow>> binary_signature{
    "binary_cross_entropy_with_logits",
    {"logits", "targets", "reduction"},
    2,
    "binary_cross_entropy_with_logits(logits, targets, reduction='mean')\n--\n\n"
    "Return the mean binary cross entropy, the mean of -(t * log(p) + (1 - t) * log(1 - p)).\n\n"
    "Here t is a target and p the sigmoid of its logit. The loss is accurate in both tails, without\n"
    "overflow or cancellation, and 0 for an infinite logit that agrees with a target of 0 or 1.\n"
    "`reduction` is as in `mse_loss`. Raises ValueError for lengths that differ.\n\n"
    ">>> from tapegrad import binary_cross_entropy_with_logits\n"
    ">>> binary_cross_entropy_with_logits([1000.0, -1000.0], [1, 1])\n"
    "500.0\n"
    ">>> binary_cross_entropy_with_logits([40.0], [1])\n"
    "4.248354255291589e-18"};

constexpr LayerSignature<cross_entropy<Row>, cross_entropy<SymbolRow>> cross_entropy_signature{
    cross_entropy_name,
    {"logits", "target", "reduction"},
    2,
    "cross_entropy(logits, target, reduction='mean')\n--\n\n"
    "Return the cross entropy of logits and a target.\n\n"
    "It is -log(softmax(logits)[target]) if `target` is a class index, and\n"
    "-sum(target * log_softmax(logits)) if `target` is an iterable of probabilities. `logits` may also be\n"
    "a batch of rows; `target` then has an index or probabilities for each row, and `reduction` is as in\n"
    "`mse_loss`. A masked logit, -inf, contributes 0 unless it is the target's, and the loss is 0 if the\n"
    "target's logit is +inf. Raises IndexError for a class out of range, and ValueError for lengths that\n"
    "differ.\n\n"
    ">>> from tapegrad import Value, cross_entropy\n"
    ">>> logits = [Value(0.0), Value(0.0)]\n"
    ">>> cross_entropy(logits, 1).backward()\n"
    ">>> [x.grad for x in logits]\n"
    "[0.5, -0.5]\n"
    ">>> cross_entropy([[1000.0, 0.0], [0.0, 1000.0]], [0, 0], reduction='none')\n"
    "[0.0, 1000.0]",
    2};

}  // namespace

void register_losses(pybind11::module_& module) {
  add(module, mse_signature);
  add(module, hinge_signature);
  add(module, binary_signature);
  add(module, cross_entropy_signature);
}

}  // namespace tapegrad::python
