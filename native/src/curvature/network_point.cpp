// The walk over a point's rows, and what it keeps between two of them.
#include "curvature/network_point.h"

#include <algorithm>
#include <cstring>

#include "curvature/point_tasks.h"
#include "kernels/kernel_table.h"

namespace krylov {

namespace {

// Rows are shared out in whole register tiles of the widest set.
constexpr std::int64_t kRowGrain = 8;

template <Scalar T>
class Point final : public NetworkPoint<T> {
 public:
  Point(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2, std::int64_t max_rows)
      : network_(std::move(network)), l2_(l2), workspace_(*network_, max_rows, WorkspaceKind::kBackward),
        batch_(*network_, std::move(losses), max_rows), shares_(network_->units()),
        parameters_(static_cast<std::size_t>(network_->arena_size())),
        transposed_(static_cast<std::size_t>(network_->transposed_size())), losses_(network_->heads().size()) {
    part_.pass.network = network_.get();
    part_.pass.workspace = &workspace_;
    part_.pass.parameters = parameters_.data();
    part_.pass.transposed = transposed_.data();
    part_.batch = &batch_;
    part_.units = &shares_;
  }

  const std::shared_ptr<const Network<T>>& network() const noexcept override { return network_; }
  const std::vector<LossSpec>& losses() const noexcept override { return batch_.losses(); }
  double l2() const noexcept override { return l2_; }
  std::int64_t rows() const noexcept override { return rows_; }
  bool cached() const noexcept override { return rows_ <= workspace_.max_rows(); }
  int threads() const noexcept override {
    const std::int64_t rows = std::min(rows_, workspace_.max_rows());
    return useful_threads(network_->step_cost() * double(rows), rows, asked_);
  }
  void set_threads(int asked) noexcept override { asked_ = asked; }
  const T* parameters() const noexcept override { return parameters_.data(); }

  Status set_data(std::shared_ptr<const Dataset> data, const std::uint32_t* index, std::int64_t rows) override {
    if (rows < 1) return Status::error(ErrorCode::kShape, "batch", "at least one row", rows);
    if (Status s = check_dataset<T>(*network_, batch_.losses(), *data); !s.ok()) return s;
    if (index == nullptr && rows > data->rows()) {
      return Status::error(ErrorCode::kShape, "batch", "at most the rows of the data", rows, data->rows());
    }
    for (std::int64_t r = 0; index != nullptr && r < rows; ++r) {
      if (std::int64_t(index[r]) >= data->rows()) {
        return Status::error(ErrorCode::kShape, "index", "rows of the data", std::int64_t(index[r]), data->rows());
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::uint32_t> copy;
    if (index != nullptr) copy.assign(index, index + rows);
    for (auto& losses : losses_) losses.resize(static_cast<std::size_t>(rows));
    index_ = std::move(copy);
    data_ = std::move(data);
    rows_ = rows;
    batch_.select(*data_, index_.empty() ? nullptr : index_.data(), rows_);
    common_divisor_ = true;
    for (std::size_t h = 1; h < losses_.size(); ++h) {
      if (batch_.divisor(h) != batch_.divisor(0)) common_divisor_ = false;
    }
    level_ = PointLevel::kNothing;
    losses_known_ = false;
    return Status::success();
  }

  void set_parameters(const T* parameters) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::memcmp(parameters, parameters_.data(), parameters_.bytes()) == 0) return;
    std::memcpy(parameters_.data(), parameters, parameters_.bytes());
    level_ = std::min(level_, PointLevel::kLoaded);
    losses_known_ = penalty_known_ = transposed_known_ = false;
  }

  Status check(Curvature kind) const noexcept override {
    if (kind != Curvature::kEmpiricalFisher) {
      if (Status s = check_differentiable(*network_, "model"); !s.ok()) return s;
    }
    for (const LossSpec& loss : batch_.losses()) {
      if (kind == Curvature::kEmpiricalFisher) break;
      if (loss.kind == Loss::kMeanAbsoluteError) {
        return Status::error(ErrorCode::kOption, "loss", "a loss with curvature, which meanAbsoluteError has not");
      }
      if (kind == Curvature::kFisher && loss.kind == Loss::kHuber) {
        return Status::error(ErrorCode::kOption, "loss", "a negative log-likelihood, which huber is not");
      }
    }
    return Status::success();
  }

  void reserve(Curvature kind) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    reserve_products();
    if (kind == Curvature::kHessian) reserve_curves(), reserve_direction();
  }

  std::int64_t bytes() const noexcept override {
    std::int64_t bytes = workspace_.bytes() + adjoints_.bytes() + curves_.bytes() + bends_.bytes();
    for (const auto* buffer : {&parameters_, &transposed_, &transposed_direction_}) {
      bytes += static_cast<std::int64_t>(buffer->bytes());
    }
    return bytes;
  }

  double loss(Team& team) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!losses_known_) {
      LossTask<T> task;
      walk(team, task);
    }
    return reduced_loss();
  }

  double gradient(Team& team, T* out, T* squares) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    GradientTask<T> task(out, l2_, parameters_.data());
    if (squares == nullptr) {
      walk(team, task);
    } else if (common_divisor_) {
      // The same deltas serve both.
      SquaresTask<T> mean(squares, rows_);
      PointTaskPair<T> both(task, mean);
      walk(team, both);
    } else {
      walk(team, task);
      SquaresTask<T> mean(squares, rows_);
      walk(team, mean);
    }
    return reduced_loss();
  }

  Procedure<double> loss(Session& session) override {
    if (!losses_known_) {
      LossTask<T> task;
      co_await walk(session, task);
    }
    co_return reduced_loss();
  }

  Procedure<double> gradient(Session& session, T* out, T* squares) override {
    GradientTask<T> task(out, l2_, parameters_.data());
    if (squares == nullptr) {
      co_await walk(session, task);
      co_return reduced_loss();
    }
    SquaresTask<T> mean(squares, rows_);
    if (common_divisor_) {
      PointTaskPair<T> both(task, mean);
      co_await walk(session, both);
    } else {
      co_await walk(session, task);
      co_await walk(session, mean);
    }
    co_return reduced_loss();
  }

  void product(Team& team, Curvature kind, const T* v, T* out) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    switch (kind) {
      case Curvature::kHessian: {
        HessianTask<T> task(v, out, l2_);
        return walk(team, task);
      }
      // For the losses that have a Fisher matrix it is the Gauss-Newton matrix (Martens 2014).
      case Curvature::kGaussNewton: case Curvature::kFisher: {
        GaussNewtonTask<T> task(v, out, l2_);
        return walk(team, task);
      }
      case Curvature::kEmpiricalFisher: {
        EmpiricalFisherTask<T> task(v, out, rows_);
        return walk(team, task);
      }
    }
  }

  void jvp(Team& team, const T* v, std::span<T* const> out) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    JvpTask<T> task(v, out);
    walk(team, task);
  }

  void vjp(Team& team, std::span<const T* const> u, T* out) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    VjpTask<T> task(u, out);
    walk(team, task);
  }

  void run(Team& team, PointTask<T>& task) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    walk(team, task);
  }

  double head_loss(std::size_t head) const noexcept override {
    return sum_in_order(losses_[head]) / batch_.divisor(head);
  }
  std::span<const double> sample_losses(std::size_t head) const noexcept override { return losses_[head]; }
  double divisor(std::size_t head) const noexcept override { return batch_.divisor(head); }

 private:
  void reserve_products() {
    workspace_.reserve_tangents(*network_);
    if (adjoints_.empty()) adjoints_ = BatchMatrices<T>(*network_, workspace_.max_rows(), MatrixKind::kDelta);
  }
  void reserve_curves() {
    if (curves_.empty()) curves_ = BatchMatrices<T>(*network_, workspace_.max_rows(), MatrixKind::kCurve);
    if (bends_.empty()) bends_ = BatchMatrices<T>(*network_, workspace_.max_rows(), MatrixKind::kBend);
  }
  void reserve_direction() {
    if (transposed_direction_.size() < transposed_.size()) transposed_direction_ = AlignedBuffer<T>(transposed_.size());
  }

  double reduced_loss() noexcept {
    if (l2_ != 0 && !penalty_known_) {
      penalty_ = 0.5 * l2_ * kernels<T>().sum_squares(parameters_.data(), network_->arena_size());
      penalty_known_ = true;
    }
    double total = 0;
    for (std::size_t h = 0; h < losses_.size(); ++h) total += batch_.losses()[h].weight * head_loss(h);
    return l2_ != 0 ? total + penalty_ : total;
  }

  struct Walk {
    Point& point;
    Team* team;
    PointTask<T>& task;
    PointNeeds<T> needs;
    std::int64_t parts;
    bool transposes;  // the weights' transposed copy has to be made
    std::int64_t from = 0, to = 0;  // the parts that the team goes through
  };

  void walk(Team& team, PointTask<T>& task) noexcept {
    Walk walk = begin_walk(task);
    go(walk, team, 0, walk.parts);
    end_walk(walk);
  }

  // One part after the other, with a rest where the slice is over.
  Procedure<void> walk(Session& session, PointTask<T>& task) {
    Walk walk = begin_walk(task);
    for (std::int64_t part = 0; part < walk.parts; ++part) {
      if (part > 0) co_await session.pause();
      if (session.stopped()) co_return;
      go(walk, session.team(), part, part + 1);
    }
    end_walk(walk);
  }

  void go(Walk& walk, Team& team, std::int64_t from, std::int64_t to) noexcept {
    walk.team = &team, walk.from = from, walk.to = to;
    select(from, walk.parts);
    team.run(threads(), &Point::body, &walk);
  }

  Walk begin_walk(PointTask<T>& task) {
    Walk walk{*this, nullptr, task, task.needs(), ceil_div(rows_, workspace_.max_rows()), false};
    const PointNeeds<T>& needs = walk.needs;
    if (needs.adjoints) reserve_products();
    if (needs.level == PointLevel::kCurves) reserve_curves();
    if (needs.direction != nullptr) reserve_direction();
    walk.transposes = !transposed_known_ && (needs.backward || needs.level >= PointLevel::kDeltas);
    // Deltas of single samples serve for the reduced loss too where all heads have one divisor.
    const Deltas deltas = needs.per_sample || common_divisor_ ? Deltas::kPerSample : Deltas::kReduced;
    if (needs.level >= PointLevel::kDeltas && level_ >= PointLevel::kDeltas && deltas != kept_deltas_) {
      level_ = PointLevel::kForward;
    }
    part_.deltas = deltas;
    part_.scale = deltas == Deltas::kReduced ? 1.0 : 1.0 / batch_.divisor(0);
    part_.transposed_direction = transposed_direction_.data();
    part_.adjoints = &adjoints_;
    part_.curves = &curves_;
    part_.bends = &bends_;
    if (walk.parts > 1) level_ = PointLevel::kNothing;
    return walk;
  }

  void end_walk(const Walk& walk) noexcept {
    const PointNeeds<T>& needs = walk.needs;
    level_ = walk.parts > 1 ? PointLevel::kNothing : std::max(level_, needs.level);
    if (needs.level >= PointLevel::kForward && (walk.parts == 1 || (needs.first <= 0 && needs.last >= rows_))) {
      losses_known_ = true;
    }
    if (needs.level >= PointLevel::kDeltas) kept_deltas_ = part_.deltas;
    if (walk.transposes) transposed_known_ = true;
  }

  // Makes part number `part` the one in the workspace.
  void select(std::int64_t part, std::int64_t parts) noexcept {
    const std::int64_t first = rows_ * part / parts, last = rows_ * (part + 1) / parts;
    batch_.select_part(first, last - first);
    part_.pass.rows = last - first;
    part_.start = first;
    part_.first = part == 0;
    part_.last = part + 1 == parts;
  }

  static void body(void* context, int thread, int threads) noexcept {
    const Walk& walk = *static_cast<const Walk*>(context);
    Point& self = walk.point;
    Barrier& barrier = walk.team->barrier();
    if (walk.from == 0) {
      self.transpose(walk, thread, threads);
      if (walk.transposes || walk.needs.direction != nullptr) barrier.wait(thread, threads);
    }
    for (std::int64_t part = walk.from; part < walk.to; ++part) {
      if (part > walk.from) {
        if (thread == 0) self.select(part, walk.parts);
        barrier.wait(thread, threads);
      }
      for (int round = 0; round < walk.task.rounds(); ++round) {
        self.rows(walk, round, thread, threads);
        barrier.wait(thread, threads);
        walk.task.columns(self.part_, round, thread, threads);
        if (part + 1 < walk.to || round + 1 < walk.task.rounds()) barrier.wait(thread, threads);
      }
    }
  }

  void transpose(const Walk& walk, int thread, int threads) noexcept {
    const T* direction = walk.needs.direction;
    const auto [begin, end] = shares_.of(thread, threads);
    for (std::size_t u = begin; u < end; ++u) {
      const GradientUnit& unit = network_->units()[u];
      if (walk.transposes) network_->transpose_unit(parameters_.data(), unit, transposed_.data());
      if (direction != nullptr) network_->transpose_unit(direction, unit, transposed_direction_.data());
    }
  }

  void rows(const Walk& walk, int round, int thread, int threads) noexcept {
    const std::int64_t all = part_.pass.rows;
    const std::int64_t tiles = ceil_div(all, kRowGrain);
    const std::int64_t end = std::min(tiles * (thread + 1) / threads * kRowGrain, all);
    for (std::int64_t first = std::min(tiles * thread / threads * kRowGrain, all); first < end;
         first += PointTask<T>::kBlockRows) {
      const std::int64_t count = std::min(PointTask<T>::kBlockRows, end - first);
      const std::int64_t at = part_.start + first;
      if (walk.parts > 1 && (at + count <= walk.needs.first || at >= walk.needs.last)) continue;
      if (round == 0) raise(walk.needs.level, first, count);
      walk.task.rows(part_, round, first, count);
    }
  }

  // Brings rows to a level. level_ changes only when all have been there.
  void raise(PointLevel level, std::int64_t first, std::int64_t count) noexcept {
    if (level_ >= level) return;
    Pass<T> pass = part_.pass;
    if (level_ < PointLevel::kLoaded) batch_.load(pass, first, count);
    if (level < PointLevel::kForward) return;
    if (level_ < PointLevel::kForward) pass.forward(first, count);
    const bool deltas = level >= PointLevel::kDeltas;
    batch_.evaluate(pass, deltas ? part_.deltas : Deltas::kNone, first, count);
    for (std::size_t h = 0; h < losses_.size(); ++h) {
      const double* from = batch_.sample_losses(h).data() + first;
      std::copy(from, from + count, losses_[h].data() + part_.start + first);
    }
    if (!deltas) return;
    if (level >= PointLevel::kCurves) pass.curves = &curves_;
    pass.backward(first, count);
  }

  std::shared_ptr<const Network<T>> network_;
  double l2_;
  Workspace<T> workspace_;
  Batch<T> batch_;
  UnitShares shares_;
  AlignedBuffer<T> parameters_, transposed_, transposed_direction_;
  BatchMatrices<T> adjoints_, curves_, bends_;
  std::vector<std::vector<double>> losses_;  // [heads][rows]
  std::shared_ptr<const Dataset> data_;
  std::vector<std::uint32_t> index_;
  std::int64_t rows_ = 0;
  bool common_divisor_ = true;
  int asked_ = 0;
  // What is in the workspace, and known of the parameters.
  PointPart<T> part_;
  PointLevel level_ = PointLevel::kNothing;
  Deltas kept_deltas_ = Deltas::kPerSample;
  bool losses_known_ = false, penalty_known_ = false, transposed_known_ = false;
  double penalty_ = 0;
  std::mutex mutex_;
};

}  // namespace

template <Scalar T>
Status NetworkPoint<T>::create(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2,
                               std::int64_t max_rows, std::unique_ptr<NetworkPoint>& out) {
  if (max_rows < 1) return Status::error(ErrorCode::kOption, "batchSize", "at least one row", max_rows);
  if (Status s = check_losses<T>(*network, losses); !s.ok()) return s;
  out = std::make_unique<Point<T>>(std::move(network), std::move(losses), l2, max_rows);
  return Status::success();
}
template Status NetworkPoint<float>::create(std::shared_ptr<const Network<float>>, std::vector<LossSpec>, double,
                                            std::int64_t, std::unique_ptr<NetworkPoint>&);
template Status NetworkPoint<double>::create(std::shared_ptr<const Network<double>>, std::vector<LossSpec>, double,
                                             std::int64_t, std::unique_ptr<NetworkPoint>&);

}  // namespace krylov
