// The Python interface of layers: linear(w, x, b), softmax(xs), rmsnorm(xs), ...
#include "tapegrad/detail/nn/layers.hpp"

#include <string>

#include <pybind11/pybind11.h>

#include "module.hpp"
#include "nn/results.hpp"
#include "nn/sequences.hpp"

namespace tapegrad::python {

namespace {

PyObject* given_or_null(PyObject* given) { return given == Py_None ? nullptr : given; }

// The products of matrix rows with a vector x, computed row by row.
template <class Row>
class Multiplication;

// The products of Values and numbers. Reading a row and recording its product take one pass.
template <>
class Multiplication<Row> {
 public:
  Multiplication(Tape& tape, std::size_t columns) : xs_(tape, columns) {}

  bool read_x(const Sequence& x, const ArgumentName& place) { return read_all(x, place, xs_); }

  // Appends the product with a row to `out`. The sum starts with `start` if it is not null. Returns
  // false with an error set.
  [[gnu::always_inline]] bool add_row(const Sequence& row, const ArgumentName& place,
                                      const Argument* start, Row& out) {
    OperandListBuilder numbers(tape(), row.size() + (start != nullptr ? 1 : 0));
    Products products(tape(), numbers, xs_, start);
    if (!read_products(row, place, numbers, products)) return false;
    // Reading may have run code that made nodes heritable after they were read.
    if (inheritances != heirs_) [[unlikely]] {
      xs_.refresh_flags();
      numbers.refresh_flags();
    }
    out.adopt(products.record());
    return true;
  }

 private:
  static bool read_products(const Sequence& row, const ArgumentName& place,
                            OperandListBuilder& numbers, Products& products) {
    OperandListBuilder::Writer writer(numbers);
    return read_each(row, place, [&](auto item) { products.write(writer, item); });
  }

  OperandListBuilder xs_;
  std::uint64_t heirs_ = inheritances;
};

// The products of traced and plain numbers.
template <>
class Multiplication<SymbolRow> {
 public:
  Multiplication(Recording& recording, std::size_t) : xs_(recording) {}

  bool read_x(const Sequence& x, const ArgumentName& place) { return read_all(x, place, xs_); }

  bool add_row(const Sequence& row, const ArgumentName& place, const Symbol* start,
               SymbolRow& out) {
    SymbolRow both(xs_.recording());
    if (!read_all(row, place, both)) return false;
    for (const Symbol& x : xs_) both.add(x);
    if (start != nullptr) both.add(*start);
    out.adopt(apply<op<"dot">()>(xs_.recording(), both));
    return true;
  }

 private:
  SymbolRow xs_;
};

// The product of the matrix w and the vector x, as a list. Each sum starts with its element of b,
// if b is not null.
template <class Row>
PyObject* matrix_product(typename Row::Engine& engine, const char* function, PyObject* given_w,
                         PyObject* given_x, PyObject* given_b) {
  const ArgumentName w_place{function, "w"}, x_place{function, "x"}, b_place{function, "b"};
  Sequence w, x;
  if (!w.open(given_w, w_place, "rows") || !x.open(given_x, x_place)) return nullptr;
  const std::size_t columns = x.size();
  Multiplication<Row> multiplication(engine, columns);
  if (!multiplication.read_x(x, x_place)) return nullptr;
  Row bias(engine);
  if (given_b != nullptr && !read_row(given_b, b_place, bias)) return nullptr;
  const std::size_t rows = w.size();
  if (given_b != nullptr && lengths_differ(b_place, bias.size(), w_place, rows)) return nullptr;
  Row out(engine);
  out.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const ArgumentName place{function, "w", static_cast<Py_ssize_t>(i)};
    if (w.size() != rows) return changed(w_place), nullptr;
    Sequence row;
    if (!row.open(w.items()[i], w_place, "Values and numbers", place.row)) return nullptr;
    if (lengths_differ(place, row.size(), x_place, columns)) return nullptr;
    if (!multiplication.add_row(row, place, given_b != nullptr ? &bias[i] : nullptr, out))
      return nullptr;
  }
  return list_of(out);
}

template <class Row>
PyObject* linear(typename Row::Engine& engine, PyObject* const* given) {
  return matrix_product<Row>(engine, "linear", given[0], given[1],
                             given[2] == nullptr ? nullptr : given_or_null(given[2]));
}
template <class Row>
PyObject* matvec(typename Row::Engine& engine, PyObject* const* given) {
  return matrix_product<Row>(engine, "matvec", given[0], given[1], nullptr);
}

// Applies a layer that takes one row, `xs`.
template <class Row, auto layer>
PyObject* of_one_row(typename Row::Engine& engine, const char* function, PyObject* given) {
  Row xs(engine), out(engine);
  if (!read_row(given, {function, "xs"}, xs)) return nullptr;
  layer(engine, xs, out);
  return list_of(out);
}
template <class Row>
PyObject* softmax(typename Row::Engine& engine, PyObject* const* given) {
  return of_one_row<Row, layers::softmax<Row>>(engine, "softmax", given[0]);
}
template <class Row>
PyObject* log_softmax(typename Row::Engine& engine, PyObject* const* given) {
  return of_one_row<Row, layers::log_softmax<Row>>(engine, "log_softmax", given[0]);
}

// Reads an optional row that has one element for each element of `xs`. Returns false with an error
// set.
template <class Row>
bool read_partner(PyObject* given, const ArgumentName& place, const ArgumentName& xs_place,
                  const Row& xs, Row& row) {
  if (given == nullptr || given == Py_None) return true;
  return read_row(given, place, row) && !lengths_differ(place, row.size(), xs_place, xs.size());
}

// Applies rmsnorm or layernorm. `given_eps` may be null.
template <class Row, class Layer>
PyObject* normalized(typename Row::Engine& engine, const char* function, PyObject* given_xs,
                     PyObject* given_weight, PyObject* given_bias, PyObject* given_eps,
                     Layer layer) {
  const ArgumentName place{function, "xs"};
  Row xs(engine), weight(engine), bias(engine), out(engine);
  double eps = 1e-5;
  if (!read_row(given_xs, place, xs) ||
      !read_partner(given_weight, {function, "weight"}, place, xs, weight) ||
      !read_partner(given_bias, {function, "bias"}, place, xs, bias))
    return nullptr;
  if (given_eps != nullptr &&
      !need_number(given_eps, ArgumentName{function, "eps"}.text().c_str(), eps))
    return nullptr;
  layer(xs, weight.empty() ? nullptr : &weight, bias.empty() ? nullptr : &bias, eps, out);
  return list_of(out);
}

template <class Row>
PyObject* rmsnorm(typename Row::Engine& engine, PyObject* const* given) {
  return normalized<Row>(engine, "rmsnorm", given[0], given[1], nullptr, given[2],
                         [&](const Row& xs, const Row* weight, const Row*, double eps, Row& out) {
                           layers::rmsnorm(engine, xs, weight, eps, out);
                         });
}
template <class Row>
PyObject* layernorm(typename Row::Engine& engine, PyObject* const* given) {
  return normalized<Row>(engine, "layernorm", given[0], given[1], given[2], given[3],
                         [&](const Row& xs, const Row* weight, const Row* bias, double eps,
                             Row& out) { layers::layernorm(engine, xs, weight, bias, eps, out); });
}

constexpr LayerSignature<linear<Row>, linear<SymbolRow>> linear_signature{
    "linear",
    {"w", "x", "b"},
    2,
    "linear(w, x, b=None)\n--\n\n"
    "Return the product of the matrix `w` with the vector `x`, plus `b`, as a list.\n\n"
    "`w` is an iterable of rows of the length of `x`, and `b` has one element for each row; all elements\n"
    "are Values and numbers. Each result is one node. Its sum begins with the element of `b` and adds\n"
    "products from left to right, as micrograd's loop does. Without rows the result is []. Raises\n"
    "ValueError for lengths that do not match, and TypeError for an element that is no number.\n\n"
    ">>> from tapegrad import Value, linear\n"
    ">>> w = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]]\n"
    ">>> y = linear(w, [10.0, 1.0], [0.5, 0.0])\n"
    ">>> y\n"
    "[Value(data=12.5), Value(data=34.0)]\n"
    ">>> y[1].backward()\n"
    ">>> w[1][0].grad\n"
    "10.0",
    1};

constexpr LayerSignature<matvec<Row>, matvec<SymbolRow>> matvec_signature{
    "matvec",
    {"w", "x"},
    2,
    "matvec(w, x)\n--\n\n"
    "Return the product of the matrix `w` with the vector `x`: `linear` without a bias.\n\n"
    ">>> from tapegrad import matvec\n"
    ">>> matvec([[1, 2], [3, 4]], [10, 1])\n"
    "[12.0, 34.0]",
    1};

constexpr LayerSignature<softmax<Row>, softmax<SymbolRow>> softmax_signature{
    "softmax",
    {"xs"},
    1,
    "softmax(xs)\n--\n\n"
    "Return exp(x) / sum(exp(xs)) for each x, computed without overflow. [] gives [].\n\n"
    "A masked element, -inf, has the probability 0 and the derivative 0. If an element is +inf, or all\n"
    "are -inf, every probability is nan, as in PyTorch.\n\n"
    ">>> from tapegrad import Value, softmax\n"
    ">>> softmax([Value(0.0), Value(0.0)])\n"
    "[Value(data=0.5), Value(data=0.5)]"};

constexpr LayerSignature<log_softmax<Row>, log_softmax<SymbolRow>> log_softmax_signature{
    "log_softmax",
    {"xs"},
    1,
    "log_softmax(xs)\n--\n\n"
    "Return the logarithm of `softmax(xs)`, which is x - logsumexp(xs) for each x. [] gives [].\n\n"
    ">>> from tapegrad import log_softmax\n"
    ">>> log_softmax([1000.0, 0.0])\n"
    "[0.0, -1000.0]"};

constexpr LayerSignature<rmsnorm<Row>, rmsnorm<SymbolRow>> rmsnorm_signature{
    "rmsnorm",
    {"xs", "weight", "eps"},
    1,
    "rmsnorm(xs, weight=None, eps=1e-05)\n--\n\n"
    "Return the root mean square layer normalization of `xs` (Zhang & Sennrich 2019).\n\n"
    "Each x is divided by sqrt(mean(xs * xs) + eps) and, with `weight`, multiplied by its element.\n"
    "`weight` has the length of `xs`, and `eps` is a plain number. The squares of large numbers do not\n"
    "overflow. [] gives []. Raises ValueError for lengths that differ.\n\n"
    ">>> from tapegrad import rmsnorm\n"
    ">>> rmsnorm([3.0, -3.0], weight=[1, 2], eps=0)\n"
    "[1.0, -2.0]"};

constexpr LayerSignature<layernorm<Row>, layernorm<SymbolRow>> layernorm_signature{
    "layernorm",
    {"xs", "weight", "bias", "eps"},
    1,
    "layernorm(xs, weight=None, bias=None, eps=1e-05)\n--\n\n"
    "Return the layer normalization of `xs` (Ba, Kiros & Hinton 2016).\n\n"
    "The mean is subtracted from each x, which is then divided by sqrt(variance + eps), with the biased\n"
    "variance. The result is multiplied by the element of `weight` and added to that of `bias`, if given.\n"
    "Both have the length of `xs`, and `eps` is a plain number. [] gives []. Raises ValueError for lengths\n"
    "that differ.\n\n"
    ">>> from tapegrad import layernorm\n"
    ">>> layernorm([5.0, 1.0], bias=[10, 10], eps=0)\n"
    "[11.0, 9.0]"};

}  // namespace

void register_layers(pybind11::module_& module) {
  add(module, linear_signature);
  add(module, matvec_signature);
  add(module, softmax_signature);
  add(module, log_softmax_signature);
  add(module, rmsnorm_signature);
  add(module, layernorm_signature);
}

}  // namespace tapegrad::python
