// How a method makes one direction of the gradients of several tasks; the frame is task_combiner.cpp.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "krylov/task_gradients.h"

namespace krylov {

// Threads that share a pass over long vectors.
class Crew {
 public:
  virtual ~Crew() = default;
  // Calls body(context, t, n) for t in [0, n) and returns when all have returned; n is at most `threads`.
  virtual void run(int threads, TeamFunction body, void* context) noexcept = 0;
};

// Inner products of pairs of long vectors, in float64, in an order of summation that the length alone decides.
template <Scalar T>
class PairProducts {
 public:
  using Pair = std::pair<const T*, const T*>;
  PairProducts(std::int64_t most_pairs, std::int64_t size);
  void compute(Crew& crew, int threads, std::span<const Pair> pairs, std::int64_t size, double* out) noexcept;
  // The room for a list of pairs.
  std::vector<Pair>& pairs() noexcept { return pairs_; }

 private:
  std::int64_t slots_;
  std::vector<double> partials_;
  std::vector<Pair> pairs_;
};

// What a rule works on.
template <Scalar T>
struct TaskWork {
  Crew& crew;
  int threads;
  const TaskGradients<T>& given;
  std::int64_t size;         // elements of a gradient
  std::int64_t step;         // calls before this one
  std::span<const double> q;  // [tasks, tasks], finite
  PairProducts<T>& products;
  T* out;
  TaskCombination& result;
  // Lengths of the elements that GradNorm balances, where the caller knows them; else it looks at the rows.
  std::span<const double> part_norms = {};

  int tasks() const noexcept { return static_cast<int>(given.rows.size()); }
  double product(int i, int j) const noexcept { return q[static_cast<std::size_t>(i * tasks() + j)]; }
};

// A run of elements that belongs to a tensor; the pieces of a tensor follow each other.
struct TaskPiece {
  int tensor;
  std::int64_t first, length;
};

template <Scalar T>
class TaskRule {
 public:
  virtual ~TaskRule() = default;
  // Either the coefficients of the direction, with result.linear, or `out` itself.
  virtual void combine(TaskWork<T>& work) = 0;
  virtual bool wants_losses() const noexcept { return false; }
  virtual bool wants_parameters() const noexcept { return false; }
  virtual std::span<const TaskState<T>> states() noexcept { return {}; }
};

template <Scalar T>
std::unique_ptr<TaskRule<T>> make_weighted_sum(const TaskCombinerSpec& spec, int tasks);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_pc_grad(const TaskCombinerSpec& spec, int tasks);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_mgda(const TaskCombinerSpec& spec, int tasks);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_ca_grad(const TaskCombinerSpec& spec, int tasks);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_grad_norm(const TaskCombinerSpec& spec, int tasks, std::int64_t size);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_sam_gs(const TaskCombinerSpec& spec, int tasks, std::int64_t size);
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_g_cond(const TaskCombinerSpec& spec, int tasks, std::int64_t size,
                                         std::vector<TaskPiece> pieces);

// What a list of options asks of the tasks, of the elements of a gradient and of its tensors (none: one piece).
Status check_task_combiner(const TaskCombinerSpec& spec, std::int64_t tasks, std::int64_t size,
                           std::span<const std::int64_t> tensors);
// pieces: see GCond's lion; at least one.
template <Scalar T>
std::unique_ptr<TaskRule<T>> make_task_rule(const TaskCombinerSpec& spec, int tasks, std::int64_t size,
                                            std::vector<TaskPiece> pieces);
// An empty result that keeps its memory; and the part of one that the products alone tell.
void reset(TaskCombination& result) noexcept;
void describe_products(std::span<const double> q, int tasks, TaskCombination& result);
// Cosines with the direction from its products with the gradients and its own square.
void align_to_direction(std::span<const double> products, double square, TaskCombination& result);

// [tasks, tasks] products C Q C' of combinations with the coefficients C. half: room.
void products_of_combinations(std::span<const double> c, std::span<const double> q, int tasks,
                              std::vector<double>& half, std::vector<double>& out);
// Cosines from products, 0 beside a zero vector; returns the number of pairs in conflict.
int cosines_of_products(std::span<const double> products, int tasks, std::vector<double>& cosines);

}  // namespace krylov
