// Hemati, Zhang, Estiri & Chen, "Understanding Hessian alignment for domain
// generalization" (ICCV 2023), as the authors' program computes it, on a linear
// softmax head. With f_e, g_e, H_e the loss, gradient and Hessian of domain e by
// the head, and a bar for those of the mean of all f_e:
//   mean f_e + mean_e [ alpha |H_e g_e - Hbar gbar|^2 + beta |g_e - gbar|^2 ]   (HGP)
//   mean f_e + mean_e [ alpha |d_e - dbar|^2         + beta |g_e - gbar|^2 ]    (Hutchinson; d the diagonal of H)
// where what has a bar is held constant in the derivative. Differences:
//   1. The products are explicit, H V = mean S (V x) x' with S = diag p - p p' and x = (features, 1), where the
//      program differentiates norms and adds 1e-16 to gradients before it does.
//   2. The diagonal may be exact; where it is sampled, all domains and their mean see the same probes, so that equal
//      domains have equal estimates.
#include "krylov/hessian_alignment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernel_table.h"

namespace krylov {

namespace {

using Values = std::vector<double>;

double dot(const double* x, const double* y, std::int64_t n) noexcept { return kernels<double>().dot(x, y, n); }
void add_scaled(double a, const double* x, double* out, std::int64_t n) noexcept {
  kernels<double>().scaled_sum(out, a, x, out, n);
}

// Matrices of the head are [classes, width] here, width = inputs + 1, the bias last.
struct Head {
  std::int64_t classes, width;
  Values omega;
  std::size_t size() const noexcept { return omega.size(); }
};

// One domain at the head: features in float64 with a 1 behind them, probabilities, what has been collected.
class Domain {
 public:
  template <Scalar T>
  Domain(const Head& head, const AlignmentDomain<T>& given)
      : head_(&head),
        rows_(given.rows),
        features_(at(rows_ * head.width)),
        probabilities_(at(rows_ * head.classes)),
        residuals_(at(rows_ * head.classes)),
        gradient_(given.feature_gradient == nullptr ? 0 : at(rows_ * head.width)) {
    const std::int64_t K = head.classes, inputs = head.width - 1;
    for (std::int64_t n = 0; n < rows_; ++n) {
      double* const x = features_.data() + n * head.width;
      for (std::int64_t i = 0; i < inputs; ++i) x[i] = static_cast<double>(given.features[n * inputs + i]);
      x[inputs] = 1;
      double* const p = probabilities_.data() + n * K;
      outputs(head.omega.data(), n, p);
      const double most = *std::max_element(p, p + K), own = p[given.labels[n]];
      double sum = 0;
      for (std::int64_t k = 0; k < K; ++k) sum += p[k] = std::exp(p[k] - most);
      for (std::int64_t k = 0; k < K; ++k) residuals_[at(n * K + k)] = p[k] /= sum;
      residuals_[at(n * K + given.labels[n])] -= 1;
      loss_ += (most + std::log(sum) - own) / static_cast<double>(rows_);
    }
  }

  double loss() const noexcept { return loss_; }

  Values gradient() const {
    Values out(head_->size());
    for (std::int64_t n = 0; n < rows_; ++n) add_outer(residual(n), n, out);
    return out;
  }
  Values hessian_product(const Values& v) const {
    Values out(head_->size()), a(at(head_->classes));
    for (std::int64_t n = 0; n < rows_; ++n) {
      outputs(v.data(), n, a.data());
      curve(n, a.data(), a.data());
      add_outer(a.data(), n, out);
    }
    return out;
  }
  Values diagonal() const {
    Values out(head_->size());
    for (std::int64_t n = 0; n < rows_; ++n) {
      const double *const p = probability(n), *const x = feature(n);
      for (std::int64_t k = 0; k < head_->classes; ++k) {
        const double h = p[k] * (1 - p[k]) / static_cast<double>(rows_);
        for (std::int64_t i = 0; i < head_->width; ++i) out[at(k * head_->width + i)] += h * x[i] * x[i];
      }
    }
    return out;
  }

  // What follows adds weight times a derivative: by the head to `omega`, by the features to what the domain collects.
  // Of the loss.
  void add_loss(double weight, Values& omega) {
    for (std::int64_t n = 0; n < rows_; ++n) {
      add_outer(residual(n), n, omega, weight);
      add_features(weight, head_->omega.data(), residual(n), n);
    }
  }
  // Of <gradient, v>, v constant: with a = V x the row's term is (p - y)'a.
  void add_gradient_pairing(double weight, const Values& v, Values& omega) {
    Values a(at(head_->classes));
    for (std::int64_t n = 0; n < rows_; ++n) {
      outputs(v.data(), n, a.data());
      curve(n, a.data(), a.data());
      add_outer(a.data(), n, omega, weight);
      add_features(weight, head_->omega.data(), a.data(), n);
      add_features(weight, v.data(), residual(n), n);
    }
  }
  // Of <u, H v>, u and v constant: with a = U x and b = V x the row's term is a'S b = sum p a b - (p'a)(p'b), and its
  // derivative by p is a b - a (p'b) - b (p'a).
  void add_curvature_pairing(double weight, const Values& u, const Values& v, Values& omega) {
    const std::int64_t K = head_->classes;
    Values a(at(K)), b(at(K)), m(at(K));
    for (std::int64_t n = 0; n < rows_; ++n) {
      outputs(u.data(), n, a.data());
      outputs(v.data(), n, b.data());
      const double* const p = probability(n);
      double pa = 0, pb = 0;
      for (std::int64_t k = 0; k < K; ++k) pa += p[k] * a[at(k)], pb += p[k] * b[at(k)];
      for (std::int64_t k = 0; k < K; ++k) m[at(k)] = a[at(k)] * b[at(k)] - a[at(k)] * pb - b[at(k)] * pa;
      curve(n, m.data(), m.data());
      add_outer(m.data(), n, omega, weight);
      if (gradient_.empty()) continue;
      curve(n, a.data(), a.data());
      curve(n, b.data(), b.data());
      add_features(weight, head_->omega.data(), m.data(), n);
      add_features(weight, u.data(), b.data(), n);
      add_features(weight, v.data(), a.data(), n);
    }
  }
  // Of <c, diagonal of H>, c constant: the row's term is sum_k p_k (1 - p_k) q_k with q_k = sum_i c_ki x_i^2.
  void add_diagonal_pairing(double weight, const Values& c, Values& omega) {
    const std::int64_t K = head_->classes, width = head_->width;
    Values m(at(K));
    for (std::int64_t n = 0; n < rows_; ++n) {
      const double *const p = probability(n), *const x = feature(n);
      for (std::int64_t k = 0; k < K; ++k) {
        double q = 0;
        for (std::int64_t i = 0; i < width; ++i) q += c[at(k * width + i)] * x[i] * x[i];
        m[at(k)] = (1 - 2 * p[k]) * q;
      }
      curve(n, m.data(), m.data());
      add_outer(m.data(), n, omega, weight);
      if (gradient_.empty()) continue;
      add_features(weight, head_->omega.data(), m.data(), n);
      double* const out = gradient_.data() + n * width;
      for (std::int64_t k = 0; k < K; ++k) {
        const double h = 2 * weight * p[k] * (1 - p[k]) / static_cast<double>(rows_);
        for (std::int64_t i = 0; i < width; ++i) out[i] += h * c[at(k * width + i)] * x[i];
      }
    }
  }

  template <Scalar T>
  void write_gradient(T* out) const {
    const std::int64_t inputs = head_->width - 1;
    for (std::int64_t n = 0; n < rows_; ++n) {
      for (std::int64_t i = 0; i < inputs; ++i)
        out[n * inputs + i] = static_cast<T>(gradient_[at(n * head_->width + i)]);
    }
  }

 private:
  static std::size_t at(std::int64_t i) noexcept { return static_cast<std::size_t>(i); }
  const double* feature(std::int64_t n) const noexcept { return features_.data() + n * head_->width; }
  const double* probability(std::int64_t n) const noexcept { return probabilities_.data() + n * head_->classes; }
  const double* residual(std::int64_t n) const noexcept { return residuals_.data() + n * head_->classes; }

  // out = V x
  void outputs(const double* v, std::int64_t n, double* out) const noexcept {
    for (std::int64_t k = 0; k < head_->classes; ++k) out[k] = dot(v + k * head_->width, feature(n), head_->width);
  }
  // out = S a
  void curve(std::int64_t n, const double* a, double* out) const noexcept {
    const double* const p = probability(n);
    double mean = 0;
    for (std::int64_t k = 0; k < head_->classes; ++k) mean += p[k] * a[k];
    for (std::int64_t k = 0; k < head_->classes; ++k) out[k] = p[k] * (a[k] - mean);
  }
  // out += weight / rows * c x'
  void add_outer(const double* c, std::int64_t n, Values& out, double weight = 1) const noexcept {
    for (std::int64_t k = 0; k < head_->classes; ++k) {
      add_scaled(weight * c[k] / static_cast<double>(rows_), feature(n), out.data() + k * head_->width, head_->width);
    }
  }
  // The derivative of c'V x by x.
  void add_features(double weight, const double* v, const double* c, std::int64_t n) noexcept {
    if (gradient_.empty()) return;
    for (std::int64_t k = 0; k < head_->classes; ++k) {
      add_scaled(weight * c[k] / static_cast<double>(rows_), v + k * head_->width, gradient_.data() + n * head_->width,
                 head_->width);
    }
  }

  const Head* head_;
  std::int64_t rows_;
  Values features_, probabilities_, residuals_, gradient_;
  double loss_ = 0;
};

double square_distance(const Values& x, const Values& y) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

Values times_difference(double factor, const Values& x, const Values& y) {
  Values out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = factor * (x[i] - y[i]);
  return out;
}

Values mean_of(const std::vector<Values>& all) {
  Values mean(all.front().size());
  for (const Values& one : all) {
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / static_cast<double>(all.size());
  }
  return mean;
}

Values product_of(const Values& x, const Values& y) {
  Values out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * y[i];
  return out;
}

// [classes, width] <-> weight row by row, then bias.
template <class U>
Values from_flat(const Head& head, const U* weight, const U* bias) {
  const std::int64_t inputs = head.width - 1;
  Values out(static_cast<std::size_t>(head.classes * head.width));
  for (std::int64_t k = 0; k < head.classes; ++k) {
    for (std::int64_t i = 0; i < inputs; ++i)
      out[static_cast<std::size_t>(k * head.width + i)] = static_cast<double>(weight[k * inputs + i]);
    out[static_cast<std::size_t>(k * head.width + inputs)] = static_cast<double>(bias[k]);
  }
  return out;
}

template <Scalar T>
void to_flat(const Head& head, const Values& values, std::span<T> out) noexcept {
  const std::int64_t inputs = head.width - 1;
  for (std::int64_t k = 0; k < head.classes; ++k) {
    for (std::int64_t i = 0; i < head.width; ++i) {
      const std::int64_t place = i < inputs ? k * inputs + i : head.classes * inputs + k;
      out[static_cast<std::size_t>(place)] = static_cast<T>(values[static_cast<std::size_t>(k * head.width + i)]);
    }
  }
}

template <Scalar T>
Status check(const SoftmaxHead<T>& head, std::span<const AlignmentDomain<T>> domains, const AlignmentOptions& options,
             std::span<T> head_gradient) noexcept {
  if (head.classes < 2)
    return Status::error(ErrorCode::kShape, "weight", "at least two rows, one a class", head.classes);
  if (head.inputs < 1) return Status::error(ErrorCode::kShape, "weight", "at least one column", head.inputs);
  if (domains.empty()) return Status::error(ErrorCode::kShape, "domains", "at least one domain");
  if (!std::isfinite(options.alpha) || !std::isfinite(options.beta)) {
    return Status::error(ErrorCode::kOption, "alpha, beta", "finite numbers");
  }
  const auto size = static_cast<std::size_t>(head.classes * (head.inputs + 1));
  if (!head_gradient.empty() && head_gradient.size() != size) {
    return Status::error(ErrorCode::kShape, "gradient", "one element a parameter of the head",
                         static_cast<std::int64_t>(head_gradient.size()));
  }
  for (const AlignmentDomain<T>& domain : domains) {
    if (domain.rows < 1) return Status::error(ErrorCode::kShape, "domains", "at least one row in each", domain.rows);
    for (std::int64_t n = 0; n < domain.rows; ++n) {
      if (domain.labels[n] < 0 || domain.labels[n] >= head.classes) {
        return Status::error(ErrorCode::kOption, "labels", "class indices below the number of classes",
                             domain.labels[n], head.classes);
      }
    }
  }
  return Status::success();
}

}  // namespace

template <Scalar T>
Status hessian_alignment(const SoftmaxHead<T>& given, std::span<const AlignmentDomain<T>> given_domains,
                         const AlignmentOptions& options, AlignmentResult& result, std::span<T> head_gradient) {
  if (Status s = check(given, given_domains, options, head_gradient); !s.ok()) return s;
  Head head{given.classes, given.inputs + 1, {}};
  head.omega = from_flat(head, given.weight, given.bias);
  std::vector<Values> probes;
  for (std::int64_t p = 0; p < options.probe_count; ++p) {
    const double* const probe = options.probes + p * head.classes * head.width;
    probes.push_back(from_flat(head, probe, probe + head.classes * given.inputs));
  }
  const auto count = static_cast<double>(given_domains.size());
  std::vector<Domain> domains;
  std::vector<Values> gradients, products, diagonals;
  result = {};
  for (const AlignmentDomain<T>& one : given_domains) {
    const Domain& domain = domains.emplace_back(head, one);
    result.loss += domain.loss() / count;
    gradients.push_back(domain.gradient());
    products.push_back(domain.hessian_product(gradients.back()));
    if (probes.empty()) {
      diagonals.push_back(domain.diagonal());
      continue;
    }
    std::vector<Values> samples;
    for (const Values& z : probes) samples.push_back(product_of(z, domain.hessian_product(z)));
    diagonals.push_back(mean_of(samples));
  }
  const Values mean_gradient = mean_of(gradients), mean_diagonal = mean_of(diagonals);
  std::vector<Values> parts;
  for (const Domain& domain : domains) parts.push_back(domain.hessian_product(mean_gradient));
  const Values mean_product = mean_of(parts);
  for (std::size_t e = 0; e < domains.size(); ++e) {
    result.gradient_term += square_distance(gradients[e], mean_gradient) / count;
    result.hessian_gradient_term += square_distance(products[e], mean_product) / count;
    result.hessian_diagonal_term += square_distance(diagonals[e], mean_diagonal) / count;
  }
  const bool by_gradient = options.penalty == AlignmentPenalty::kHessianGradient;
  const double hessian_term = by_gradient ? result.hessian_gradient_term : result.hessian_diagonal_term;
  result.value = result.loss + options.alpha * hessian_term + options.beta * result.gradient_term;

  const bool by_features = std::any_of(given_domains.begin(), given_domains.end(),
                                       [](const AlignmentDomain<T>& one) { return one.feature_gradient != nullptr; });
  if (head_gradient.empty() && !by_features) return Status::success();
  Values omega(head.size());
  for (std::size_t e = 0; e < domains.size(); ++e) {
    Domain& domain = domains[e];
    domain.add_loss(1 / count, omega);
    domain.add_gradient_pairing(options.beta / count, times_difference(2, gradients[e], mean_gradient), omega);
    if (by_gradient) {
      const Values u = times_difference(2, products[e], mean_product);
      domain.add_curvature_pairing(options.alpha / count, u, gradients[e], omega);
      domain.add_gradient_pairing(options.alpha / count, domain.hessian_product(u), omega);
      continue;
    }
    const Values c = times_difference(2, diagonals[e], mean_diagonal);
    if (probes.empty()) domain.add_diagonal_pairing(options.alpha / count, c, omega);
    for (const Values& z : probes) {
      const double weight = options.alpha / count / static_cast<double>(probes.size());
      domain.add_curvature_pairing(weight, product_of(c, z), z, omega);
    }
  }
  if (!head_gradient.empty()) to_flat(head, omega, head_gradient);
  for (std::size_t e = 0; e < domains.size(); ++e) {
    if (given_domains[e].feature_gradient != nullptr) domains[e].write_gradient(given_domains[e].feature_gradient);
  }
  return Status::success();
}
template Status hessian_alignment(const SoftmaxHead<float>&, std::span<const AlignmentDomain<float>>,
                                  const AlignmentOptions&, AlignmentResult&, std::span<float>);
template Status hessian_alignment(const SoftmaxHead<double>&, std::span<const AlignmentDomain<double>>,
                                  const AlignmentOptions&, AlignmentResult&, std::span<double>);

}  // namespace krylov
