// Jobs of the compute thread on behalf of one environment: what they have to
// tell reaches JavaScript on its own thread, and an environment that ends
// aborts its jobs and waits for them.
#pragma once

#include "errors.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "krylov/threads.h"

namespace krylov::binding {

// The compute thread's side: no handle of JavaScript, may outlive the environment.
class Mailbox {
 public:
  // Compute thread: some job has news.
  void post() noexcept;
  // Compute thread: a job is over and will not use this mailbox again. The
  // caller holds a reference of its own across the call.
  void over() noexcept;

 private:
  friend class Delivery;
  std::mutex mutex_;
  std::condition_variable idle_;
  napi_threadsafe_function function_ = nullptr;
  int running_ = 0;
  bool posted_ = false, closed_ = false;
};

// The JavaScript side of a job.
class Work {
 public:
  virtual ~Work() = default;
  virtual void abort() noexcept = 0;
  // Tells JavaScript what is new; true after the last of it.
  virtual bool deliver(Napi::Env env) = 0;
};

class Delivery {
 public:
  explicit Delivery(Napi::Env env);
  // Takes the hook and the function back where the environment is not ending: a load that failed half-way.
  ~Delivery();
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  const std::shared_ptr<Mailbox>& mailbox() const noexcept { return mailbox_; }
  // Submits the job, which must call over() once when it has finished. The
  // process stays alive until its last news is delivered.
  void start(std::shared_ptr<Work> work, std::shared_ptr<Job> job);
  // Submits a job again that has paused, and called over() when it did; its work is still known.
  void resume(std::shared_ptr<Job> job);

 private:
  static void call(napi_env env, napi_value, void* context, void*) noexcept;
  static void close(void* self) noexcept;
  void deliver(napi_env env);

  napi_env env_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::vector<std::shared_ptr<Work>> active_;
};

}  // namespace krylov::binding
