// The adjoint of each workload as one would write it by hand: the limit.
//
// The forward part keeps what the reverse part needs, and no more; nothing is left to drop.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <vector>

#include "contestant.hpp"
#include "workloads.hpp"

namespace bench {

template <class Workload>
class Adjoint;

template <class Workload>
class ByHand {
 public:
  template <class Lap>
  double operator()(const Workload& workload, std::span<const double> in,
                    std::span<double> gradient, Lap&& lap) {
    const double value = adjoint_.forward(workload, in);
    lap(record);
    adjoint_.reverse(workload, in, gradient);
    lap(sweep);
    lap(drop);
    return value;
  }

 private:
  Adjoint<Workload> adjoint_;
};

template <bool split>
class Adjoint<workloads::Chain<split>> {
 public:
  double forward(const workloads::Chain<split>& chain, std::span<const double> in) {
    xs_.resize(chain.steps);
    double x = in[0];
    for (double& kept : xs_) {
      kept = x;
      x = x * in[1] + in[2];
    }
    return x;
  }

  void reverse(const workloads::Chain<split>&, std::span<const double> in,
               std::span<double> gradient) const {
    double x_bar = 1.0, a_bar = 0.0, b_bar = 0.0;
    for (std::size_t i = xs_.size(); i-- > 0;) {
      a_bar += x_bar * xs_[i];
      b_bar += x_bar;
      x_bar *= in[1];
    }
    gradient[0] = x_bar;
    gradient[1] = a_bar;
    gradient[2] = b_bar;
  }

 private:
  std::vector<double> xs_;
};

template <bool tanh_units>
class Adjoint<workloads::Mlp<tanh_units>> {
  using Mlp = workloads::Mlp<tanh_units>;
  static constexpr std::size_t width = Mlp::width;
  using Layer = std::array<double, width>;
  struct Point {
    Layer first, second;  // the units' outputs
    double margin;
  };

 public:
  double forward(const Mlp& mlp, std::span<const double> p) {
    kept_.resize(mlp.batch);
    double losses = 0.0;
    for (std::size_t i = 0; i < mlp.batch; ++i) {
      Point& point = kept_[i];
      for (std::size_t j = 0; j < width; ++j) {
        const double* w = &p[3 * j];
        point.first[j] = unit(w[2] + w[0] * mlp.points[2 * i] + w[1] * mlp.points[2 * i + 1]);
      }
      for (std::size_t j = 0; j < width; ++j)
        point.second[j] = unit(dot(&p[Mlp::second_layer + (width + 1) * j], point.first));
      point.margin = 1.0 - dot(&p[Mlp::last_layer], point.second) * mlp.targets[i];
      losses += std::max(point.margin, 0.0);
    }
    double squares = 0.0;
    for (const double weight : p) squares += weight * weight;
    return losses / static_cast<double>(mlp.batch) + squares * Mlp::decay;
  }

  void reverse(const Mlp& mlp, std::span<const double> p, std::span<double> gradient) const {
    for (std::size_t k = 0; k < p.size(); ++k) gradient[k] = 2.0 * Mlp::decay * p[k];
    for (std::size_t i = mlp.batch; i-- > 0;) {
      const Point& point = kept_[i];
      Layer first_bar{}, second_bar{};
      const double score_bar =
          point.margin > 0.0 ? -mlp.targets[i] / static_cast<double>(mlp.batch) : 0.0;
      back(score_bar, &p[Mlp::last_layer], point.second, &gradient[Mlp::last_layer], second_bar);
      for (std::size_t j = 0; j < width; ++j) {
        const std::size_t w = Mlp::second_layer + (width + 1) * j;
        back(second_bar[j] * slope(point.second[j]), &p[w], point.first, &gradient[w], first_bar);
      }
      for (std::size_t j = 0; j < width; ++j) {
        const double sum_bar = first_bar[j] * slope(point.first[j]);
        gradient[3 * j] += sum_bar * mlp.points[2 * i];
        gradient[3 * j + 1] += sum_bar * mlp.points[2 * i + 1];
        gradient[3 * j + 2] += sum_bar;
      }
    }
  }

 private:
  static double unit(double x) { return tanh_units ? std::tanh(x) : std::max(x, 0.0); }
  // From the unit's output.
  static double slope(double y) { return tanh_units ? 1.0 - y * y : (y > 0.0 ? 1.0 : 0.0); }

  static double dot(const double* weights, const Layer& x) {
    double sum = weights[width];
    for (std::size_t k = 0; k < width; ++k) sum += weights[k] * x[k];
    return sum;
  }
  static void back(double sum_bar, const double* weights, const Layer& x, double* weights_bar,
                   Layer& x_bar) {
    for (std::size_t k = 0; k < width; ++k) {
      weights_bar[k] += sum_bar * x[k];
      x_bar[k] += sum_bar * weights[k];
    }
    weights_bar[width] += sum_bar;
  }

  std::vector<Point> kept_;
};

template <>
class Adjoint<workloads::MatrixVector> {
  static constexpr std::size_t size = workloads::MatrixVector::size;

 public:
  double forward(const workloads::MatrixVector&, std::span<const double> in) {
    const double* x = &in[size * size];
    double out = 0.0;
    for (std::size_t i = 0; i < size; ++i) {
      double y = 0.0;
      for (std::size_t j = 0; j < size; ++j) y += in[size * i + j] * x[j];
      ys_[i] = y;
      out += y * y;
    }
    return out;
  }

  void reverse(const workloads::MatrixVector&, std::span<const double> in,
               std::span<double> gradient) const {
    const double* x = &in[size * size];
    std::array<double, size> x_bar{};
    for (std::size_t i = 0; i < size; ++i) {
      const double y_bar = 2.0 * ys_[i];
      for (std::size_t j = 0; j < size; ++j) {
        gradient[size * i + j] = y_bar * x[j];
        x_bar[j] += y_bar * in[size * i + j];
      }
    }
    std::copy(x_bar.begin(), x_bar.end(), gradient.begin() + size * size);
  }

 private:
  std::array<double, size> ys_;
};

// What the reverse part of one option reads; no algebra has been done beyond the chain rule.
struct OptionTerms {
  double root, deviation, drift, d1, e1, e2, above, below, discount;
};

inline double option_forward(std::span<const double> in, OptionTerms& t) {
  constexpr double c = -1.0 / std::numbers::sqrt2;
  const double spot = in[0], strike = in[1], rate = in[2], volatility = in[3], time = in[4];
  t.root = std::sqrt(time);
  t.deviation = volatility * t.root;
  t.drift = rate + volatility * volatility * 0.5;
  t.d1 = (std::log(spot / strike) + t.drift * time) / t.deviation;
  t.e1 = c * t.d1;
  t.e2 = c * (t.d1 - t.deviation);
  t.above = 0.5 * std::erfc(t.e1);
  t.below = 0.5 * std::erfc(t.e2);
  t.discount = std::exp(-(rate * time));
  return spot * t.above - strike * t.discount * t.below;
}

inline void option_reverse(std::span<const double> in, const OptionTerms& t,
                           std::span<double> gradient) {
  constexpr double density = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
  const double spot = in[0], strike = in[1], rate = in[2], volatility = in[3], time = in[4];
  const double discount_bar = -strike * t.below;
  const double rate_time_bar = -t.discount * discount_bar;
  const double d2_bar = -strike * t.discount * density * std::exp(-t.e2 * t.e2);
  const double d1_bar = spot * density * std::exp(-t.e1 * t.e1) + d2_bar;
  const double sum_bar = d1_bar / t.deviation;
  const double deviation_bar = -d2_bar - sum_bar * t.d1;
  const double drift_bar = sum_bar * time;
  gradient[0] = t.above + sum_bar / spot;
  gradient[1] = -t.discount * t.below - sum_bar / strike;
  gradient[2] = time * rate_time_bar + drift_bar;
  gradient[3] = drift_bar * volatility + deviation_bar * t.root;
  gradient[4] =
      rate * rate_time_bar + sum_bar * t.drift + deviation_bar * volatility * 0.5 / t.root;
}

template <>
class Adjoint<workloads::Option> {
 public:
  double forward(const workloads::Option&, std::span<const double> in) {
    return option_forward(in, terms_);
  }
  void reverse(const workloads::Option&, std::span<const double> in,
               std::span<double> gradient) const {
    option_reverse(in, terms_, gradient);
  }

 private:
  OptionTerms terms_;
};

template <>
class Adjoint<workloads::BlackScholes> {
  static constexpr std::size_t n = workloads::Option::input_count;

 public:
  double forward(const workloads::BlackScholes& options, std::span<const double> in) {
    terms_.resize(options.count);
    double total = 0.0;
    for (std::size_t i = 0; i < options.count; ++i)
      total += option_forward(in.subspan(n * i, n), terms_[i]);
    return total;
  }
  void reverse(const workloads::BlackScholes& options, std::span<const double> in,
               std::span<double> gradient) const {
    for (std::size_t i = 0; i < options.count; ++i)
      option_reverse(in.subspan(n * i, n), terms_[i], gradient.subspan(n * i, n));
  }

 private:
  std::vector<OptionTerms> terms_;
};

}  // namespace bench
