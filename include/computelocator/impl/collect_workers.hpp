// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <computelocator/inflate.hpp>

namespace computelocator::detail::collect_ {

/// Memory for the text of pages: at most so much at once, and one room whatever its size. Who comes first
/// gets it first, so that many small pages do not keep a large one waiting for ever.
class text_rooms {
 public:
  explicit text_rooms(std::size_t most) : most_(most) {}

  /// Waits until there are `bytes`, to which its room may grow; gives them back when it ends.
  class lease {
   public:
    lease(text_rooms& from, std::size_t bytes) : from_(from), bytes_(bytes), room(from.take(bytes_)) {}
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    ~lease() { from_.give_back(std::move(room), bytes_); }

   private:
    text_rooms& from_;
    std::size_t bytes_;

   public:
    inflate_room room;
  };

  /// Frees what nobody has.
  void clear() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

 private:
  inflate_room take(std::size_t& bytes) {
    std::unique_lock lock(mutex_);
    const std::uint64_t turn = came_++;
    wake_.wait(lock, [&] { return turn == served_ && (out_ == 0 || out_ + bytes <= most_); });
    ++served_;
    wake_.notify_all();
    // The smallest that does; where none does one goes, so that there are never more rooms than takers.
    std::sort(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    inflate_room room;
    const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const inflate_room& each) { return each.size() >= bytes; });
    if (at != kept_.end()) {
      room = std::move(*at);
      kept_.erase(at);
    } else if (!kept_.empty()) {
      kept_.pop_back();
    }
    bytes = std::max(bytes, room.size());
    out_ += bytes;
    std::size_t held = out_;
    for (const inflate_room& each : kept_) held += each.size();
    for (; !kept_.empty() && held > most_; kept_.pop_back()) held -= kept_.back().size();
    return room;
  }

  void give_back(inflate_room room, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    out_ -= bytes;
    if (room.size() != 0 && out_ + room.size() <= most_) kept_.push_back(std::move(room));
    wake_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<inflate_room> kept_;
  std::size_t most_, out_ = 0;
  std::uint64_t came_ = 0, served_ = 0;
};

/// Threads that inflate and parse while the calling thread does I/O.
class workers {
 public:
  explicit workers(std::size_t count) {
    if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
    threads_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
  }
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;
  ~workers() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_all();
    for (std::thread& each : threads_) each.join();
  }

  void add(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
  }

  /// Until every job is done.
  void wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return jobs_.empty() && busy_ == 0; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return over_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      ++busy_;
      lock.unlock();
      job();
      lock.lock();
      if (--busy_ == 0 && jobs_.empty()) idle_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t busy_ = 0;
  bool over_ = false;
};

}  // namespace computelocator::detail::collect_
