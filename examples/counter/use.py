from threading import Thread

import counter

threads = [Thread(target=lambda: [counter.count("spam") for _ in range(1000)]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(counter.count("spam"))
