// predictAsync and evaluateAsync: a job of the compute thread behind a promise.
#include <atomic>

#include "dataset.h"
#include "krylov/training.h"
#include "model.h"
#include "specs.h"

namespace krylov::binding {

namespace {

// What the job raises when it is over.
struct Completion {
  std::shared_ptr<Mailbox> mailbox;
  std::atomic<bool> done{false};

  // The job's `done`, on the compute thread. The JavaScript thread may destroy
  // the completion as soon as the news is posted.
  static void raise(void* context) noexcept {
    auto& completion = *static_cast<Completion*>(context);
    const std::shared_ptr<Mailbox> mailbox = completion.mailbox;
    completion.done.store(true, std::memory_order_release);
    mailbox->post();
    mailbox->over();
  }
};

// JobType: EvaluationJob<T> or PredictionJob<T>; write(env, job) makes the result.
template <class JobType, class Write>
class Task final : public Work {
 public:
  Task(Napi::Env env, std::shared_ptr<Mailbox> mailbox, Write write)
      : deferred_(Napi::Promise::Deferred::New(env)), write_(std::move(write)) {
    completion_.mailbox = std::move(mailbox);
  }

  Completion* completion() noexcept { return &completion_; }
  std::shared_ptr<JobType>& job() noexcept { return job_; }
  Napi::Promise promise() const { return deferred_.Promise(); }

  void abort() noexcept override { job_->abort(); }

  bool deliver(Napi::Env env) override {
    if (!completion_.done.load(std::memory_order_acquire)) return false;
    Napi::Value result = env.Null();
    try {
      if (!job_->aborted()) result = guard(env, [&]() -> Napi::Value { return write_(env, *job_); });
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
      return true;
    }
    deferred_.Resolve(result);
    return true;
  }

 private:
  Napi::Promise::Deferred deferred_;
  Completion completion_;
  std::shared_ptr<JobType> job_;
  Write write_;
};

// create(done, context, job) makes the job or fails.
template <class JobType, class Create, class Write>
Napi::Value start_task(Napi::Env env, Create create, Write write) {
  Delivery& delivery = Environment::of(env).delivery;
  auto task = std::make_shared<Task<JobType, Write>>(env, delivery.mailbox(), std::move(write));
  check(create(&Completion::raise, static_cast<void*>(task->completion()), task->job()));
  auto result = Napi::Object::New(env);
  result.Set("promise", task->promise());
  const std::weak_ptr<Work> weak = task;
  result.Set("abort", Napi::Function::New(env, [weak](const Napi::CallbackInfo&) {
               if (const std::shared_ptr<Work> work = weak.lock()) work->abort();
             }));
  delivery.start(task, task->job());
  return result;
}

}  // namespace

Napi::Value NativeModel::predict_async(const Napi::CallbackInfo& info) {
  const Output output = read_output(info[1], "output");
  const Napi::Array list = array(info[2], "links", 0xffffu);
  std::vector<Link> links;
  const std::uint32_t count = list.Length();
  for (std::uint32_t i = 0; i < count; ++i) links.push_back(read_link(list.Get(i), "links"));
  const int threads = read_threads(info[3], "threads");
  const auto data = unwrap<NativeDataset>(info[0], "dataset").data("dataset");
  return core_->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) {
    const std::shared_ptr<krylov::Model<T>> kept = model;
    const auto write = [output, kept, data](Napi::Env env, const PredictionJob<T>& job) -> Napi::Value {
      const std::size_t heads = kept->network().heads().size();
      auto result = Napi::Array::New(env, heads);
      for (std::size_t h = 0; h < heads; ++h) {
        const std::span<const std::byte> bytes = job.result(h);
        const auto copy = [&]<class E>(E) {
          return copy_array<E>(env, {reinterpret_cast<const E*>(bytes.data()), bytes.size() / sizeof(E)});
        };
        result.Set(static_cast<std::uint32_t>(h), output == Output::kClass ? copy(std::int32_t()) : copy(T()));
      }
      return result;
    };
    return start_task<PredictionJob<T>>(
        info.Env(),
        [&](void (*done)(void*), void* context, std::shared_ptr<PredictionJob<T>>& job) {
          return create_prediction<T>(model, data, output, links, threads, done, context, job);
        },
        write);
  });
}

Napi::Value NativeModel::evaluate_async(const Napi::CallbackInfo& info) {
  const std::vector<HeadTask> tasks = read_tasks(info[1], "tasks");
  const double l2 = number(info[2], "l2", 0);
  const int threads = read_threads(info[3], "threads");
  const auto data = unwrap<NativeDataset>(info[0], "dataset").data("dataset");
  return core_->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) {
    return start_task<EvaluationJob<T>>(
        info.Env(),
        [&](void (*done)(void*), void* context, std::shared_ptr<EvaluationJob<T>>& job) {
          return create_evaluation<T>(model, data, tasks, l2, threads, done, context, job);
        },
        [](Napi::Env env, const EvaluationJob<T>& job) -> Napi::Value { return write_evaluation(env, job.result()); });
  });
}

}  // namespace krylov::binding
