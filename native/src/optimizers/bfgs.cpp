// BFGS with the whole inverse Hessian H (Nocedal & Wright 2006, algorithm 6.1), in float64 whatever the parameters are:
//   d = -H g; s = t d; y = g_+ - g; rho = 1 / y's
//   H = (I - rho s y') H (I - rho y s') + rho s s'        before the first time H = (y's / y'y) I
//   powellDamping (Powell 1978; ibid., procedure 18.2), with B = 1 / H and so B s = -t g: where s'y < 0.2 s'Bs
//     y <- tau y + (1 - tau) B s, tau = 0.8 s'Bs / (s'Bs - s'y)
//   without it a step teaches nothing unless s'y is above the bound of lbfgs
// O(n^2) numbers: for at most 4000 parameters. The steps are those of lbfgs.
//
// Options: name, default, range. Numbers may be schedules over updates, counts not.
//   learningRate             1      > 0     first trial of the search, or the step; times min(1, 1 / |g|_1) at first
//   gradientTolerance        1e-7   >= 0
//   changeTolerance          1e-9   >= 0
//   lineSearch               strongWolfe    strongWolfe | none
//   maxLineSearchIterations  25     >= 1
//   powellDamping            true
#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/kernel_table.h"
#include "optimizers/line_search_minimizer.h"
#include "optimizers/minimizers.h"
#include "optimizers/newton_support.h"

namespace krylov {
namespace {

constexpr std::int64_t kMostParameters = 4000;
// Elements of H below which one thread takes less time than two take to meet.
constexpr std::int64_t kWorthSharing = 65536;

// body(first, last) over rows of H, shared among the session's threads; no result depends on how many.
template <class Body>
void each_row(Session& session, std::int64_t rows, Body&& body) noexcept {
  struct Work {
    Body& body;
    std::int64_t rows;
  } work{body, rows};
  const auto run = [](void* context, int thread, int threads) noexcept {
    const auto& w = *static_cast<const Work*>(context);
    w.body(w.rows * thread / threads, w.rows * (thread + 1) / threads);
  };
  session.team().run(rows * rows < kWorthSharing ? 1 : session.threads(), run, &work);
}

double dot(const std::vector<double>& a, const std::vector<double>& b) noexcept {
  return kernels<double>().dot(a.data(), b.data(), static_cast<std::int64_t>(a.size()));
}

template <Scalar T>
class Bfgs final : public LineSearchMinimizer<T> {
  using Base = LineSearchMinimizer<T>;

 public:
  Bfgs(RuleOptions& options, const Objective<T>& objective)
      : Base(read_line_search_rules(options, true, false), objective.size()),
        n_(objective.dimension()),
        learning_rate_(options.number("learningRate")),
        powell_damping_(options.flag("powellDamping")) {
    if (n_ > kMostParameters) {
      options.refuse(Status::error(ErrorCode::kOption, "optimizer",
                                   "at most 4000 parameters for bfgs; lbfgs has no such limit", n_));
    }
  }

 protected:
  double direct(Session& session, Vectors<T>& vectors, Objective<T>& objective, const T* g, T* d) override {
    const double rate = schedule_value(learning_rate_, this->updates());
    if (inverse_.empty()) {
      vectors.combine(-1, g, 0, g, d);
      return Base::cautious_step(vectors, g) * rate;
    }
    std::vector<double> gradient(count()), direction(count());
    objective.to_plain(g, gradient);
    multiply(session, gradient, -1, direction);
    objective.from_plain(direction, d);
    return rate;
  }

  void learn(Session& session, Vectors<T>&, Objective<T>& objective, const typename Base::Step& step) override {
    std::vector<double> s(count()), y(count()), g(count());
    objective.to_plain(step.d, s);
    objective.to_plain(step.g, g);
    objective.to_plain(step.next_gradient, y);
    for (std::size_t i = 0; i < s.size(); ++i) {
      s[i] *= step.length;
      y[i] -= g[i];
    }
    double curvature = dot(s, y);
    const double model = -step.length * step.length * step.slope;  // s'Bs
    if (powell_damping_ && curvature < 0.2 * model) {
      const double tau = 0.8 * model / (model - curvature);
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = tau * y[i] - (1 - tau) * step.length * g[i];
      curvature = dot(s, y);
    }
    if (!(curvature > (powell_damping_ ? 0 : step.least_curvature))) return;
    if (inverse_.empty()) {
      inverse_ = AlignedBuffer<double>(count() * count());
      for (std::size_t i = 0; i < count(); ++i) inverse_[i * count() + i] = curvature / dot(y, y);
    }
    update_inverse(session, s, y, 1 / curvature);
  }

  bool restart() noexcept override {
    const bool had = !inverse_.empty();
    inverse_ = {};
    return had;
  }

  void save_rest(MinimizerState& state) const override {
    if (inverse_.empty()) return;
    state.vectors.push_back(
        {"inverseHessian", true, std::vector<double>(inverse_.data(), inverse_.data() + inverse_.size())});
  }
  Status check_rest(const MinimizerState& state) const override {
    return check_vector(state, "inverseHessian", n_ * n_);
  }
  void restore_rest(const MinimizerState& state) override {
    inverse_ = restore_vector<double>(state, "inverseHessian");
  }

 private:
  std::size_t count() const noexcept { return static_cast<std::size_t>(n_); }

  // out = a H v
  void multiply(Session& session, const std::vector<double>& v, double a, std::vector<double>& out) const noexcept {
    each_row(session, n_, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        out[static_cast<std::size_t>(i)] = a * kernels<double>().dot(inverse_.data() + i * n_, v.data(), n_);
      }
    });
  }

  // Written out: H - rho (s q' + q s') + rho (1 + rho y'q) s s' with q = H y; the order keeps H symmetric to the bit.
  void update_inverse(Session& session, const std::vector<double>& s, const std::vector<double>& y, double rho) {
    std::vector<double> q(count());
    multiply(session, y, 1, q);
    const double outer = rho * (1 + rho * dot(y, q));
    each_row(session, n_, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        double* row = inverse_.data() + i * n_;
        const double si = s[static_cast<std::size_t>(i)], qi = q[static_cast<std::size_t>(i)];
        const double *sj = s.data(), *qj = q.data();
        for (std::int64_t j = 0; j < n_; ++j) row[j] += outer * (si * sj[j]) - rho * (si * qj[j] + qi * sj[j]);
      }
    });
  }

  std::int64_t n_;
  ScheduleSpec learning_rate_;
  bool powell_damping_;
  AlignedBuffer<double> inverse_;  // [n, n]; none: the identity
};

}  // namespace

template <Scalar T>
MinimizerPointer<T> make_bfgs(RuleOptions& options, const Objective<T>& objective) {
  return std::make_unique<Bfgs<T>>(options, objective);
}
template MinimizerPointer<float> make_bfgs(RuleOptions&, const Objective<float>&);
template MinimizerPointer<double> make_bfgs(RuleOptions&, const Objective<double>&);

}  // namespace krylov
