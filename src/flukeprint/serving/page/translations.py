"""All texts of the page, in English and in Spanish: key to (en, es).

Placeholders stand in braces and are the same in both languages.  Keys that end in `_species` or
`_individual` say the same of a collection of species and of one of individuals.  Keys that begin
with `browser_` are also sent to the page's scripts.
"""

from collections.abc import Mapping
from typing import Final

WORDING: Final[Mapping[str, tuple[str, str]]] = {
    # frame
    "skip": ("Skip to the content", "Saltar al contenido"),
    "pages": ("Pages", "Páginas"),
    "this_page": ("(this page)", "(esta página)"),
    "language": ("Language", "Idioma"),
    "nav_identify": ("Identify", "Identificar"),
    "nav_verify": ("Compare", "Comparar"),
    "nav_review": ("Review", "Revisar"),
    "nav_map": ("Map", "Mapa"),
    "nav_classes_species": ("Species", "Especies"),
    "nav_classes_individual": ("Individuals", "Individuos"),
    "nav_about": ("About", "Acerca de"),
    "footer_api": ("API documentation", "Documentación de la API"),
    "nothing_here": ("There is no such page", "Esta página no existe"),
    "to_start": ("To the start", "Ir al inicio"),
    "privacy": (
        "Photographs are neither stored nor logged: they are looked at, answered and forgotten.",
        "Las fotografías no se guardan ni se registran: se miran, se responden y se olvidan.",
    ),
    # choosing photographs
    "identify_title_species": ("Which species is this?", "¿Qué especie es?"),
    "identify_title_individual": ("Who is this animal?", "¿Quién es este animal?"),
    "identify_lead_species": (
        "Show a photograph: it is compared with {photos} photographs of {classes} species, and you "
        "see the five nearest.",
        "Muestra una fotografía: se compara con {photos} fotografías de {classes} especies y ves "
        "las cinco más cercanas.",
    ),
    "identify_lead_individual": (
        "Show a photograph: it is compared with {photos} photographs of {classes} individuals, and "
        "you see the five nearest.",
        "Muestra una fotografía: se compara con {photos} fotografías de {classes} individuos y ves "
        "los cinco más cercanos.",
    ),
    "choose": ("Choose photographs", "Elegir fotografías"),
    "choose_one": ("Choose a photograph", "Elegir una fotografía"),
    "camera": ("Take a photograph", "Tomar una fotografía"),
    "or_drop": (
        "or drop them anywhere on the page, or paste with Ctrl+V",
        "o suéltalas en cualquier parte de la página, o pégalas con Ctrl+V",
    ),
    "one_encounter": (
        "Up to {most} photographs at once, of one encounter: they are answered together, as one "
        "animal. Each may have {megabytes} MB.",
        "Hasta {most} fotografías a la vez, de un mismo encuentro: se responden juntas, como un "
        "solo animal. Cada una puede tener {megabytes} MB.",
    ),
    "your_photos": ("Your photographs", "Tus fotografías"),
    "examples": ("Or try one of these", "O prueba con una de estas"),
    "example": ("Identify example photograph {number}", "Identificar la fotografía {number}"),
    "again": ("Try again", "Probar otra vez"),
    "details": ("Details", "Detalles"),
    "browser_cancel": ("Cancel", "Cancelar"),
    "browser_sending": ("Sending the photograph", "Enviando la fotografía"),
    "browser_thinking": ("Comparing with the collection", "Comparando con la colección"),
    "browser_waiting": (
        "The service is busy; asking again in {seconds} s",
        "El servicio está ocupado; se pregunta otra vez en {seconds} s",
    ),
    "browser_your_photo": ("Your photograph {name}", "Tu fotografía {name}"),
    "browser_not_shown": (
        "Your photograph {name}, in a format that this browser cannot show",
        "Tu fotografía {name}, en un formato que este navegador no puede mostrar",
    ),
    "browser_drop": ("Drop photographs here", "Suelta aquí las fotografías"),
    # the answer to a photograph
    "answer_of_one": ("The answer", "La respuesta"),
    "answer_of_many": (
        "The answer to {photos} photographs of one encounter",
        "La respuesta a {photos} fotografías de un encuentro",
    ),
    "sure_very": ("Very probably", "Muy probablemente"),
    "sure_probably": ("Probably", "Probablemente"),
    "sure_perhaps": ("Perhaps", "Quizá"),
    "sure_unmeasured": ("The nearest", "El más cercano"),
    "verdict_new_above": ("Not in this collection", "No está en esta colección"),
    "verdict_new_species": (
        "Probably a species that is not in this collection",
        "Probablemente una especie que no está en esta colección",
    ),
    "verdict_new_individual": (
        "Probably an individual that is not in this collection",
        "Probablemente un individuo que no está en esta colección",
    ),
    "verdict_new_below": (
        "Probability that it is not in the collection: {percent}.",
        "Probabilidad de que no esté en la colección: {percent}.",
    ),
    "verdict_new_near": (
        "It may belong to {name} ({rank}).",
        "Puede pertenecer a {name} ({rank}).",
    ),
    "verdict_outside_above": ("Something else", "Otra cosa"),
    "verdict_outside": (
        "This does not look like a photograph of this collection",
        "Esto no parece una fotografía de esta colección",
    ),
    "verdict_outside_below": (
        "Its similarity to the nearest photographs is {closeness}; photographs of this kind reach "
        "{outside} or more.",
        "Su semejanza con las fotografías más cercanas es {closeness}; las fotografías de este "
        "tipo alcanzan {outside} o más.",
    ),
    "unsure_species": ("species unsure", "especie incierta"),
    "unsure_individual": ("individual unsure", "individuo incierto"),
    "unsure_below": (
        "Sure of the {rank}: {percent}. The likeliest are below.",
        "Nivel seguro: {rank}, {percent}. Los más probables están abajo.",
    ),
    "unsure_all_above": ("No clear answer", "Sin respuesta clara"),
    "unsure_all": ("Unsure", "Incierto"),
    "unsure_all_below": (
        "Not even the {rank} is sure. The likeliest are below.",
        "Ni siquiera es seguro el nivel {rank}. Los más probables están abajo.",
    ),
    "nearest_anyway": ("The nearest all the same", "Los más cercanos, de todos modos"),
    "five_answers": ("The nearest, in order", "Los más cercanos, en orden"),
    "not_here": ("Not in this collection", "No está en esta colección"),
    "probability": ("probability {percent}", "probabilidad {percent}"),
    "similarity": ("similarity {score}", "semejanza {score}"),
    "new_from": ("answered below similarity {score}", "se responde por debajo de {score}"),
    "gallery_photo": ("Photograph {photo} of {name}", "Fotografía {photo} de {name}"),
    "similar_link": ("Similar photographs", "Fotografías semejantes"),
    "map_link": ("On the map", "En el mapa"),
    "more_of": ("More about {name}", "Más sobre {name}"),
    "answered": ("Answer: {headline}", "Respuesta: {headline}"),
    # the card of a class
    "card_name": ("Scientific name", "Nombre científico"),
    "card_common": ("Common name", "Nombre común"),
    "card_rank": ("Rank", "Rango"),
    "card_where": ("Found in", "Dónde vive"),
    "card_note": ("Note", "Nota"),
    "card_photos": ("Photographs in the collection", "Fotografías en la colección"),
    "card_credit": ("Sources: {credit}", "Fuentes: {credit}"),
    "medical_yes": ("Medically important", "De importancia médica"),
    "medical_no": ("Not medically important", "Sin importancia médica"),
    "medical_unknown": ("Medical importance unknown", "Importancia médica desconocida"),
    "medical_yes_text": (
        "Its bite or sting may need treatment. This page can be wrong: after a bite, seek medical "
        "help and do not rely on it.",
        "Su mordedura o picadura puede requerir tratamiento. Esta página puede equivocarse: ante "
        "una mordedura, busca ayuda médica y no te fíes de ella.",
    ),
    "medical_no_text": (
        "No treatment is usually needed. This page can be wrong: after a bite that worries you, "
        "seek medical help.",
        "No suele requerir tratamiento. Esta página puede equivocarse: ante una mordedura que te "
        "preocupe, busca ayuda médica.",
    ),
    "medical_unknown_text": (
        "Nothing is known here about its bite. After a bite that worries you, seek medical help.",
        "Aquí no se sabe nada de su mordedura. Ante una mordedura que te preocupe, busca ayuda "
        "médica.",
    ),
    # ranks
    "rank_subspecies": ("subspecies", "subespecie"),
    "rank_species": ("species", "especie"),
    "rank_subgenus": ("subgenus", "subgénero"),
    "rank_genus": ("genus", "género"),
    "rank_tribe": ("tribe", "tribu"),
    "rank_subfamily": ("subfamily", "subfamilia"),
    "rank_family": ("family", "familia"),
    "rank_superfamily": ("superfamily", "superfamilia"),
    "rank_infraorder": ("infraorder", "infraorden"),
    "rank_suborder": ("suborder", "suborden"),
    "rank_order": ("order", "orden"),
    "rank_phylum": ("phylum", "filo"),
    "rank_kingdom": ("kingdom", "reino"),
    "rank_class": ("class", "clase"),
    "rank_group": ("group", "grupo"),
    "rank_individual": ("individual", "individuo"),
    # two photographs
    "verify_title_species": ("Is it the same species?", "¿Es la misma especie?"),
    "verify_title_individual": ("Is it the same animal?", "¿Es el mismo animal?"),
    "verify_lead_species": (
        "Two photographs are compared with each other; neither has to be of a species of this "
        "collection.",
        "Se comparan dos fotografías entre sí; ninguna tiene que ser de una especie de esta "
        "colección.",
    ),
    "verify_lead_individual": (
        "Two photographs are compared with each other; neither animal has to be in this "
        "collection.",
        "Se comparan dos fotografías entre sí; ninguno de los animales tiene que estar en esta "
        "colección.",
    ),
    "verify_first": ("First photograph", "Primera fotografía"),
    "verify_second": ("Second photograph", "Segunda fotografía"),
    "verify_none": (
        "This collection was trained without a measured threshold for two photographs, so they "
        "cannot be compared.",
        "Esta colección no tiene un umbral medido para dos fotografías, así que no se pueden "
        "comparar.",
    ),
    "same_species": ("The same species", "La misma especie"),
    "same_individual": ("The same individual", "El mismo individuo"),
    "different_species": ("Different species", "Especies distintas"),
    "different_individual": ("Different individuals", "Individuos distintos"),
    "verify_above": (
        "Their similarity is {score}; from {threshold} on they are called the same.",
        "Su semejanza es {score}; desde {threshold} se responde que coinciden.",
    ),
    "verify_accept": (
        "How far to trust it: about one in {once} pairs that differ is called the same by mistake "
        "(measured on {pairs} pairs).",
        "Hasta dónde fiarse: cerca de uno de cada {once} pares distintos se da por coincidente "
        "por error (medido en {pairs} pares).",
    ),
    "verify_accept_none": (
        "How far to trust it: of {pairs} pairs that differ none was called the same by mistake.",
        "Hasta dónde fiarse: de {pairs} pares distintos ninguno se dio por coincidente por error.",
    ),
    "verify_reject": (
        "And {percent} of the pairs that are the same are called different.",
        "Y el {percent} de los pares que coinciden se da por distinto.",
    ),
    # the review queue
    "review_title": ("Review many photographs", "Revisar muchas fotografías"),
    "review_lead": (
        "Choose as many as you like; each is sent on its own. Decide who each one is, then "
        "download the list. Decisions stay in this browser until the page is closed.",
        "Elige cuantas quieras; cada una se envía por separado. Decide quién es cada una y "
        "descarga la lista. Las decisiones quedan en este navegador hasta que se cierra la página.",
    ),
    "review_queue": ("Photographs", "Fotografías"),
    "review_accept": ("Accept {number}", "Aceptar {number}"),
    "review_new": ("Not in the collection", "No está en la colección"),
    "review_unsure": ("Unsure", "No se sabe"),
    "review_back": ("Back", "Atrás"),
    "review_next": ("Next", "Siguiente"),
    "review_download": ("Download the list (CSV)", "Descargar la lista (CSV)"),
    "review_resend": ("Send the failed ones again", "Enviar otra vez las fallidas"),
    "review_keys": ("Keys decide", "Las teclas deciden"),
    "review_keys_hint": (
        "1 to 5 accept, N not in the collection, U unsure, ← back, → next",
        "1 a 5 aceptan, N no está en la colección, U no se sabe, ← atrás, → siguiente",
    ),
    "review_wait": (
        "This photograph is waiting for its turn.",
        "Esta fotografía espera su turno.",
    ),
    "browser_review_done": (
        "{decided} of {total} decided, {answered} answered",
        "{decided} de {total} decididas, {answered} respondidas",
    ),
    "browser_review_waiting": ("waiting", "en espera"),
    "browser_review_sent": ("being compared", "se compara"),
    "browser_review_failed": ("failed", "falló"),
    "browser_review_open": ("to decide", "por decidir"),
    "browser_review_new": ("not in the collection", "no está en la colección"),
    "browser_review_unsure": ("unsure", "no se sabe"),
    "browser_review_decided": ("{name}: {decision}", "{name}: {decision}"),
    # gallery: map, similar photographs, classes
    "map_title": ("Map of the collection", "Mapa de la colección"),
    "map_lead": (
        "Each dot is a photograph. Photographs that look alike to the network tend to stand "
        "together; directions and distances further apart mean nothing.",
        "Cada punto es una fotografía. Las que la red ve parecidas suelen estar juntas; las "
        "direcciones y las distancias grandes no significan nada.",
    ),
    "map_graph": (
        "Scatter of all photographs of the collection; the same photographs as a list are on the "
        "page {page}",
        "Nube de puntos de todas las fotografías de la colección; las mismas fotografías como "
        "lista están en la página {page}",
    ),
    "map_none": ("This collection has no map.", "Esta colección no tiene mapa."),
    "map_pick_species": ("Highlight a species", "Resaltar una especie"),
    "map_pick_individual": ("Highlight an individual", "Resaltar un individuo"),
    "map_reset": ("Whole map", "Mapa entero"),
    "map_other": ("others", "otras"),
    "map_families": ("Colours by {rank}", "Colores por {rank}"),
    "map_list": ("As a list", "Como lista"),
    "browser_map_hint": (
        "Point at a dot, or tap it, to see its photograph.",
        "Señala un punto, o tócalo, para ver su fotografía.",
    ),
    "browser_map_photo": ("Photograph {photo} of {name}", "Fotografía {photo} de {name}"),
    "browser_map_similar": ("Similar photographs", "Fotografías semejantes"),
    "browser_map_found": ("{count} photographs", "{count} fotografías"),
    "browser_map_not_found": ("No such name on the map", "No hay tal nombre en el mapa"),
    "similar_title": ("Similar photographs", "Fotografías semejantes"),
    "similar_lead": (
        "The photographs of the collection that are nearest to this one of {name}.",
        "Las fotografías de la colección más cercanas a esta de {name}.",
    ),
    "similar_no_photo": (
        "No photograph was named. Choose one from the list or from the map.",
        "No se ha indicado ninguna fotografía. Elige una de la lista o del mapa.",
    ),
    "classes_title_species": ("Species of the collection", "Especies de la colección"),
    "classes_title_individual": ("Individuals of the collection", "Individuos de la colección"),
    "classes_filter": ("Filter by name", "Filtrar por nombre"),
    "classes_found": ("{found} of {total}", "{found} de {total}"),
    "classes_nothing": ("No name contains this text.", "Ningún nombre contiene este texto."),
    "classes_photos": ("{photos} photographs", "{photos} fotografías"),
    "classes_photos_one": ("1 photograph", "1 fotografía"),
    "classes_pages": ("Pages of the list", "Páginas de la lista"),
    "page_of": ("Page {page} of {pages}", "Página {page} de {pages}"),
    "page_before": ("Previous page", "Página anterior"),
    "page_after": ("Next page", "Página siguiente"),
    # about
    "about_title": ("About this collection", "Acerca de esta colección"),
    "about_collection": ("Collection", "Colección"),
    "about_photos": ("Photographs", "Fotografías"),
    "about_classes_species": ("Species", "Especies"),
    "about_classes_individual": ("Individuals", "Individuos"),
    "about_model": ("Network", "Red"),
    "about_parameters": ("{millions} million parameters", "{millions} millones de parámetros"),
    "about_dim": ("Embedding", "Vector"),
    "about_dim_text": ("{dim} numbers a photograph", "{dim} números por fotografía"),
    "about_digest": ("Digest of the network", "Huella de la red"),
    "about_version": ("Version of flukeprint", "Versión de flukeprint"),
    "about_accuracy": ("How good it is", "Qué tan buena es"),
    "about_measured": (
        "Measured on {queries} photographs that training never saw, {new} of them of animals that "
        "the collection lacked:",
        "Medido en {queries} fotografías que el entrenamiento nunca vio, {new} de ellas de "
        "animales que faltaban en la colección:",
    ),
    "about_measured_known": (
        "Measured on {queries} photographs that training never saw:",
        "Medido en {queries} fotografías que el entrenamiento nunca vio:",
    ),
    "about_top1": ("The first answer is right", "La primera respuesta acierta"),
    "about_top5": ("One of the five is right", "Una de las cinco acierta"),
    "about_map5": ("MAP@5, with its 95 % interval", "MAP@5, con su intervalo del 95 %"),
    "about_interval": ("{mean} ({low} to {high})", "{mean} ({low} a {high})"),
    "about_unmeasured": (
        "Nothing was measured for this collection.",
        "De esta colección no se ha medido nada.",
    ),
    "about_decisions": ("How it decides", "Cómo decide"),
    "about_threshold_species": (
        "A photograph that reaches less than similarity {threshold} is answered as a species that "
        "is not in the collection.",
        "Una fotografía que no alcanza la semejanza {threshold} se responde como una especie que "
        "no está en la colección.",
    ),
    "about_threshold_individual": (
        "A photograph that reaches less than similarity {threshold} is answered as an individual "
        "that is not in the collection.",
        "Una fotografía que no alcanza la semejanza {threshold} se responde como un individuo que "
        "no está en la colección.",
    ),
    "about_no_threshold": (
        "It always answers with something from the collection.",
        "Siempre responde con algo de la colección.",
    ),
    "about_outside": (
        "Below similarity {outside} to the nearest photographs it says that the photograph shows "
        "something else.",
        "Por debajo de la semejanza {outside} con las fotografías más cercanas dice que la "
        "fotografía muestra otra cosa.",
    ),
    "about_confidence": (
        "Of a tree of {ranks} it answers the narrowest rank with a probability of {percent} or "
        "more.",
        "De un árbol de {ranks} responde el nivel más estrecho con una probabilidad de {percent} "
        "o más.",
    ),
    "about_calibrated": (
        "Probabilities were fitted to measured answers.",
        "Las probabilidades se ajustaron a respuestas medidas.",
    ),
    "about_uncalibrated": (
        "Similarities are not probabilities: they only put the answers in order.",
        "Las semejanzas no son probabilidades: solo ordenan las respuestas.",
    ),
    "about_kept": ("What is kept", "Qué se guarda"),
    "about_kept_browser": (
        "Your browser remembers the language. Decisions of the review stay in the open page. "
        "There are no cookies, no counters and nothing from other sites.",
        "El navegador recuerda el idioma. Las decisiones de la revisión quedan en la página "
        "abierta. No hay cookies, ni contadores, ni nada de otros sitios.",
    ),
    "about_enroll": (
        "Who holds the token may add photographs to the collection through the API; those are "
        "kept.",
        "Quien tenga la clave puede añadir fotografías a la colección con la API; esas se guardan.",
    ),
    "about_formats": ("Photographs may be", "Las fotografías pueden ser"),
    "about_formats_text": (
        "{formats}; up to {megabytes} MB and {megapixels} million pixels",
        "{formats}; hasta {megabytes} MB y {megapixels} millones de píxeles",
    ),
    # what went wrong: one for each kind of problem of the API
    "problem_title": ("That did not work", "Eso no funcionó"),
    "problem_too_many_bytes": (
        "The photograph is too large: it may have {megabytes} MB. Make it smaller and try again.",
        "La fotografía es demasiado grande: puede tener {megabytes} MB. Redúcela y prueba otra "
        "vez.",
    ),
    "problem_too_many_pixels": (
        "The photograph has too many pixels: it may have {megapixels} million. Make it smaller "
        "and try again.",
        "La fotografía tiene demasiados píxeles: puede tener {megapixels} millones. Redúcela y "
        "prueba otra vez.",
    ),
    "problem_not_a_photograph": (
        "This file is not a photograph that can be read here. Possible are {formats}.",
        "Este archivo no es una fotografía que aquí se pueda leer. Se admiten {formats}.",
    ),
    "problem_unsupported_media_type": (
        "This kind of file is not accepted. Possible are {formats}.",
        "Este tipo de archivo no se acepta. Se admiten {formats}.",
    ),
    "problem_damaged_photograph": (
        "The photograph is damaged or incomplete. Try the original file.",
        "La fotografía está dañada o incompleta. Prueba con el archivo original.",
    ),
    "problem_invalid": (
        "The request was not understood. Reload the page and try again.",
        "No se entendió la petición. Recarga la página y prueba otra vez.",
    ),
    "problem_bad_request": (
        "The request could not be read. Reload the page and try again.",
        "No se pudo leer la petición. Recarga la página y prueba otra vez.",
    ),
    "problem_method_not_allowed": (
        "The page and the service do not fit together. Reload the page.",
        "La página y el servicio no encajan. Recarga la página.",
    ),
    "problem_no_photograph": (
        "There was no photograph in it. Choose a photograph from a file.",
        "No había ninguna fotografía. Elige una fotografía de un archivo.",
    ),
    "problem_too_many_photographs": (
        "Those are too many photographs at once: up to {most} of one encounter. For more, use the "
        "review page.",
        "Son demasiadas fotografías a la vez: hasta {most} de un encuentro. Para más, usa la "
        "página de revisión.",
    ),
    "problem_not_found": (
        "That is not here, or not any more.",
        "Eso no está aquí, o ya no está.",
    ),
    "problem_unauthorized": (
        "This needs a token that the page does not have.",
        "Esto necesita una clave que la página no tiene.",
    ),
    "problem_forbidden": ("This is not allowed here.", "Esto no está permitido aquí."),
    "problem_rate_limited": (
        "Too many requests in a short time. Wait a little and try again.",
        "Demasiadas peticiones en poco tiempo. Espera un poco y prueba otra vez.",
    ),
    "problem_busy": (
        "The service is very busy right now. Wait a little and try again.",
        "El servicio está muy ocupado ahora. Espera un poco y prueba otra vez.",
    ),
    "problem_not_ready": (
        "The service is still starting. Wait a little and try again.",
        "El servicio todavía está arrancando. Espera un poco y prueba otra vez.",
    ),
    "problem_timeout": (
        "It took too long and was given up. Try again, perhaps with fewer photographs.",
        "Tardó demasiado y se abandonó. Prueba otra vez, quizá con menos fotografías.",
    ),
    "problem_slow_upload": (
        "The photograph arrived too slowly. Try again with a better connection or a smaller "
        "photograph.",
        "La fotografía llegó demasiado despacio. Prueba otra vez con mejor conexión o una "
        "fotografía más pequeña.",
    ),
    "problem_conflict": (
        "Somebody else is changing the collection. Wait a little and try again.",
        "Alguien más está cambiando la colección. Espera un poco y prueba otra vez.",
    ),
    "problem_internal": (
        "The service made a mistake. Try again; if it stays, tell whoever runs it.",
        "El servicio cometió un error. Prueba otra vez; si sigue, avisa a quien lo mantiene.",
    ),
    "problem_wait": ("Possible again in {seconds} s.", "Se podrá de nuevo en {seconds} s."),
    "lost": (
        "The service cannot be reached. Check the connection and try again.",
        "No se llega al servicio. Revisa la conexión y prueba otra vez.",
    ),
    "browser_gone": (
        "The service cannot be reached. Check the connection and try again.",
        "No se llega al servicio. Revisa la conexión y prueba otra vez.",
    ),
    "withheld_too_large": (
        "{name} has {size} MB; a photograph may have {megabytes} MB. It was not sent.",
        "{name} tiene {size} MB; una fotografía puede tener {megabytes} MB. No se envió.",
    ),
    "withheld_too_large_together": (
        "Together they have {size} MB; photographs of one request may have {together} MB. They "
        "were not sent.",
        "Juntas tienen {size} MB; las fotografías de una petición pueden tener {together} MB. No "
        "se enviaron.",
    ),
    "withheld_empty": (
        "{name} is empty. It was not sent.",
        "{name} está vacío. No se envió.",
    ),
    "withheld_not_a_photograph": (
        "{name} is not a photograph. It was not sent. Possible are {formats}.",
        "{name} no es una fotografía. No se envió. Se admiten {formats}.",
    ),
}
