// What is measured, each written once for whatever number type records it.
//
// An operation is elementary: one of + - * / or one function. A workload counts its own, so that
// libraries which record whole statements are divided by the same number as those which do not.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <random>
#include <span>
#include <vector>

namespace workloads {

// The same numbers on every machine, which std's distributions do not promise.
class Uniform {
 public:
  explicit Uniform(std::uint64_t seed) : engine_(seed) {}
  double operator()(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }
  std::vector<double> operator()(std::size_t count, double low, double high) {
    std::vector<double> numbers(count);
    for (double& number : numbers) number = (*this)(low, high);
    return numbers;
  }

 private:
  std::mt19937_64 engine_;
};

// x = x * a + b, each step in one statement or in two. Every term stays of the order of one, so
// that no adjoint underflows however long the chain.
template <bool split>
struct Chain {
  static constexpr const char* name = split ? "chain_split" : "chain_fused";
  std::size_t steps = 500'000;

  static Chain of_size(std::size_t operations) { return {operations / 2}; }
  std::size_t operations() const { return 2 * steps; }
  std::vector<double> inputs() const {
    const double rate = 1.0 / static_cast<double>(steps);
    return {1.0, 1.0 - rate, 0.5 * rate};
  }

  template <class T>
  T operator()(std::span<const T> in) const {
    const T &a = in[1], &b = in[2];
    T x = in[0];
    for (std::size_t i = 0; i < steps; ++i) {
      if constexpr (split) {
        x = x * a;
        x = x + b;
      } else {
        x = x * a + b;
      }
    }
    return x;
  }
};

// One operation for everyone: a library without a relu multiplies by the slope.
template <class T>
T rectified(const T& x) {
  if constexpr (requires { relu(x); }) return relu(x);
  else if (x > 0.0) return x * 1.0;
  else return x * 0.0;
}

// micrograd's demo: an MLP 2-16-16-1, the hinge loss of a batch of points on two moons, and the
// squares of the parameters. A unit's parameters are its weights, then its bias.
template <bool tanh_units>
struct Mlp {
  static constexpr const char* name = tanh_units ? "mlp_tanh" : "mlp_relu";
  static constexpr std::size_t width = 16;
  static constexpr std::size_t second_layer = width * 3;
  static constexpr std::size_t last_layer = second_layer + width * (width + 1);
  static constexpr std::size_t parameters = last_layer + width + 1;
  static constexpr std::size_t operations_a_point =
      width * (2 + 2 + 1) + width * (2 * width + 1) + 2 * width + 4;
  static constexpr double decay = 1e-4;

  std::size_t batch;
  std::vector<double> points, targets;  // two coordinates a point; -1 or 1

  explicit Mlp(std::size_t batch = 100) : batch(batch) {
    Uniform uniform(7);
    for (std::size_t i = 0; i < batch; ++i) {
      const bool upper = i % 2 == 1;
      const double angle = uniform(0.0, std::numbers::pi);
      const double x = std::cos(angle), y = std::sin(angle);
      points.push_back((upper ? x : 1.0 - x) + uniform(-0.1, 0.1));
      points.push_back((upper ? y : 0.5 - y) + uniform(-0.1, 0.1));
      targets.push_back(upper ? 1.0 : -1.0);
    }
  }

  static Mlp of_size(std::size_t operations) {
    return Mlp(operations < operations_a_point ? 1 : operations / operations_a_point);
  }
  std::size_t operations() const { return batch * operations_a_point + 2 * parameters + 2; }
  std::vector<double> inputs() const { return Uniform(42)(parameters, -1.0, 1.0); }

  template <class T>
  static T unit(const T& x) {
    using std::tanh;
    if constexpr (tanh_units) return tanh(x);
    else return rectified(x);
  }

  template <class T>
  T operator()(std::span<const T> p) const {
    std::vector<T> first(width), second(width);
    T losses = 0.0;
    for (std::size_t i = 0; i < batch; ++i) {
      for (std::size_t j = 0; j < width; ++j) {
        const T* w = &p[3 * j];
        T sum = w[2] + w[0] * points[2 * i];
        sum += w[1] * points[2 * i + 1];
        first[j] = unit(sum);
      }
      for (std::size_t j = 0; j < width; ++j) {
        const T* w = &p[second_layer + (width + 1) * j];
        T sum = w[width];
        for (std::size_t k = 0; k < width; ++k) sum += w[k] * first[k];
        second[j] = unit(sum);
      }
      const T* w = &p[last_layer];
      T score = w[width];
      for (std::size_t k = 0; k < width; ++k) score += w[k] * second[k];
      T margin = 1.0 - score * targets[i];
      losses += rectified(margin);
    }
    T squares = p[0] * p[0];
    for (std::size_t k = 1; k < parameters; ++k) squares += p[k] * p[k];
    return losses * (1.0 / static_cast<double>(batch)) + squares * decay;
  }
};

// y = A x, then the sum of the squares of y; both A and x are inputs.
struct MatrixVector {
  static constexpr const char* name = "matrix_vector";
  static constexpr std::size_t size = 256;

  std::size_t operations() const { return 2 * size * size + size; }
  std::vector<double> inputs() const { return Uniform(3)(size * (size + 1), -1.0, 1.0); }

  template <class T>
  T operator()(std::span<const T> in) const {
    const T* x = &in[size * size];
    T out = 0.0;
    for (std::size_t i = 0; i < size; ++i) {
      const T* row = &in[size * i];
      T y = row[0] * x[0];
      for (std::size_t j = 1; j < size; ++j) y += row[j] * x[j];
      out += y * y;
    }
    return out;
  }
};

// The price of a European call: spot, strike, rate, volatility, time.
struct Option {
  static constexpr const char* name = "one_option";
  static constexpr std::size_t input_count = 5;

  std::size_t operations() const { return 24; }

  template <class T>
  static T normal(const T& x) {
    using std::erf, std::erfc;
    constexpr double c = 1.0 / std::numbers::sqrt2;
    if constexpr (requires { erfc(x * -c); }) return 0.5 * erfc(x * -c);
    else return 0.5 * (1.0 + erf(x * c));  // one operation more, which is not counted
  }

  template <class T>
  T operator()(std::span<const T> in) const {
    using std::exp, std::log, std::sqrt;
    const T &spot = in[0], &strike = in[1], &rate = in[2], &volatility = in[3], &time = in[4];
    T deviation = volatility * sqrt(time);
    T d1 = (log(spot / strike) + (rate + volatility * volatility * 0.5) * time) / deviation;
    T d2 = d1 - deviation;
    T above = normal(d1);
    T below = normal(d2);
    T discount = exp(-(rate * time));
    return spot * above - strike * discount * below;
  }

  static std::vector<double> portfolio(std::size_t count) {
    Uniform uniform(11);
    std::vector<double> in;
    for (std::size_t i = 0; i < count; ++i)
      in.insert(in.end(), {uniform(80, 120), uniform(80, 120), uniform(0.01, 0.06),
                           uniform(0.1, 0.5), uniform(0.25, 2.25)});
    return in;
  }
};

// The sum of the prices of many options, all on one tape.
struct BlackScholes {
  static constexpr const char* name = "black_scholes";
  std::size_t count = 10'000;

  std::size_t operations() const { return count * (Option().operations() + 1); }
  std::vector<double> inputs() const { return Option::portfolio(count); }

  template <class T>
  T operator()(std::span<const T> in) const {
    T total = 0.0;
    for (std::size_t i = 0; i < count; ++i)
      total += Option()(in.subspan(Option::input_count * i, Option::input_count));
    return total;
  }
};

}  // namespace workloads
