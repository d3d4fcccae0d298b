// Sets the colours before anything is drawn: those that were chosen, or the system's.
(() => {
  try {
    const chosen = localStorage.getItem("rustorium-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Without storage the system's colours hold.
  }
})();
